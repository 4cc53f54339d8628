"""Playing many tasks once, chunk by chunk, with a journal: what profiles and evaluations share."""

import time
from collections.abc import Callable, Iterable, Sequence

from rekindle.types import GroupRequest, Rollout, UserError

__all__ = ["GIVE_UP_AFTER", "Play", "Progress", "chunks", "play_in_chunks"]

Play = Callable[[Sequence[GroupRequest]], Iterable[tuple[int, list[Rollout] | None]]]
"""An environment's ``play``: ``(request id, its n rollouts)`` once per request; None where the attempt failed."""

Progress = Callable[[int, int, float], None]
"""Told tasks done, tasks in all, and the seconds left."""

GIVE_UP_AFTER = 64
"""So many new prompts in a row that cannot be played mean that it is not the prompts' fault."""


def chunks(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    """``rows`` in pieces of ``size``; the last one may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def play_in_chunks(
    fresh: Sequence[Sequence[int]],
    again: Sequence[Sequence[int]],
    *,
    total: int,
    play: Callable[[Sequence[int]], int],
    stuck: Callable[[int], UserError],
    on_progress: Progress,
    interrupted: Callable[[], bool],
) -> bool:
    """Play chunks of rows until all are done or somebody interrupts.

    Args:
        fresh: Rows that were never played.
        again: Rows that could not be played earlier; they come last, and may all fail again.
        total: Rows in all, those that are done already included.
        play: Plays rows, makes what they gave durable, and returns how many could be played.
        stuck: What to raise when so many fresh rows in a row could not be played.
        on_progress: Told after every chunk.
        interrupted: Asked before every chunk.

    Returns:
        Whether all were played; False when interrupted.
    """
    ahead, played, barren = sum(map(len, [*fresh, *again])), 0, 0
    began = time.monotonic()
    for number, rows in enumerate([*fresh, *again]):
        if interrupted():
            return False
        barren = 0 if play(rows) else barren + len(rows)
        if barren >= GIVE_UP_AFTER and number < len(fresh):
            raise stuck(barren)
        played += len(rows)
        left = (time.monotonic() - began) / played * (ahead - played)
        on_progress(total - ahead + played, total, left)
    return True
