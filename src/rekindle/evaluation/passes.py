"""A pass over many tasks, chunk by chunk, with a journal; shared by profiling and evaluation."""

import time
from collections.abc import Callable, Iterable, Sequence

from rekindle.types import GroupRequest, Rollout, UserError

__all__ = ["GIVE_UP_AFTER", "OnProgress", "PlayGroups", "chunks", "play_in_chunks"]

PlayGroups = Callable[[Sequence[GroupRequest]], Iterable[tuple[int, list[Rollout] | None]]]
"""An environment's ``play``: yields ``(request id, its n rollouts)`` once per request; None where it failed."""

OnProgress = Callable[[int, int, float], None]
"""(tasks done, tasks in all, seconds left) -> None."""

GIVE_UP_AFTER = 64
"""Unplayable new prompts in a row after which the pass ends, because the prompts are not the cause."""


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
    on_progress: OnProgress,
    interrupted: Callable[[], bool],
) -> bool:
    """Play chunks of rows until all are done or the pass is interrupted.

    Args:
        fresh: Rows that were never played.
        again: Rows that could not be played earlier; they come last and may all fail again.
        total: Rows in all, including those done already.
        play: Plays rows, writes the results to disk, and returns the number of rows played.
        stuck: Number of unplayable fresh rows in a row -> the exception to raise.
        on_progress: Called after every chunk.
        interrupted: Called before every chunk.

    Returns:
        Whether all were played; False when interrupted.
    """
    ahead, played, failed_in_a_row = sum(map(len, [*fresh, *again])), 0, 0
    began = time.monotonic()
    for number, rows in enumerate([*fresh, *again]):
        if interrupted():
            return False
        failed_in_a_row = 0 if play(rows) else failed_in_a_row + len(rows)
        if failed_in_a_row >= GIVE_UP_AFTER and number < len(fresh):
            raise stuck(failed_in_a_row)
        played += len(rows)
        left = (time.monotonic() - began) / played * (ahead - played)
        on_progress(total - ahead + played, total, left)
    return True
