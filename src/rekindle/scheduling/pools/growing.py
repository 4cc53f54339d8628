"""The growing pool of search self-play: prompts are added during the run and handed to an inner pool."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.pools.pool import Growable
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Fate, UserError

__all__ = ["GrowingPool"]


class GrowingPool:
    """Pool of *fresh* prompts, drawn in the order they were added; drawn prompts belong to the inner pool.

    Search self-play (arXiv 2510.18821) fills a batch that has too few valid questions with earlier ones ("replay"), and
    drops these every ``reset_every`` steps ("replay with reset"). Every prompt is in the pool once. The inner pool
    decides which earlier prompts are drawn again, so created prompts are recycled, skipped or ranked like given ones.

    An empty draw does not end the run. Before the first ``add`` the pool is empty, unless the history has prompts
    already; these are fresh too.

    A run is restored in this order: ``restore_ids`` with the added ids, the history's ``load_state_dict``, this pool's
    ``load_state_dict`` (which the scheduler calls).

    Args:
        inner: New pool over a history, e.g. ``History((), growing=True)``; any but a phased one.
        replay: Fill a draw with prompts that were drawn before. False: each prompt is played in one step and then
            removed, so no group without signal is recycled.
        reset_every: Steps after which all prompts drawn before are removed; None: they stay.

    Raises:
        UserError: ``reset_every`` is below 1, or is set without ``replay``.
    """

    grows = True

    def __init__(self, inner: Growable, *, replay: bool = False, reset_every: int | None = None) -> None:
        if reset_every is not None and reset_every < 1:
            raise UserError(f"reset_every = {reset_every} steps; give at least 1, or leave it out to keep every prompt")
        if reset_every is not None and not replay:
            raise UserError(f"reset_every = {reset_every} has no effect without replay; leave it out, or set replay")
        inner.grown()
        self.history = inner.history
        self.consumes_on_draw = inner.consumes_on_draw if replay else True
        self._inner, self._replay, self._reset_every = inner, replay, reset_every
        self._fresh = dict.fromkeys(range(len(inner.history)))
        """Rows in the order they were added; an ordered set."""
        self._steps = self._replaying = self._replayed = 0

    @property
    def no_signal(self) -> Fate:
        """With replay that of the inner pool; without it RETIRED, because every prompt is drawn once."""
        return self._inner.no_signal if self._replay else Fate.RETIRED

    @property
    def live(self) -> int:
        """Number of fresh prompts; with replay, of all prompts that the inner pool has not consumed."""
        return self._inner.live if self._replay else len(self._fresh)

    @property
    def fresh(self) -> int:
        """Number of prompts that were never drawn."""
        return len(self._fresh)

    @property
    def resets(self) -> int:
        """Number of resets of the inner pool."""
        return self._inner.resets

    @property
    def group_size(self) -> int | None:
        """Group size of the inner pool."""
        return self._inner.group_size

    @property
    def finished(self) -> str | None:
        """Reason why the inner pool has ended the run."""
        return self._inner.finished

    # -- growth -------------------------------------------------------------------------------------------------------

    def add(self, ids: Iterable[str]) -> Rows:
        """Add new prompts; they are drawn first, in this order.

        Returns:
            [ids] their rows in the history.

        Raises:
            ValueError: An id is a duplicate; then none is added.
        """
        rows = self.restore_ids(ids)
        self._fresh.update(dict.fromkeys(rows.tolist()))
        return rows

    def restore_ids(self, ids: Iterable[str]) -> Rows:
        """Add the prompts of a saved run, before its state is loaded; the state marks the fresh ones.

        Returns:
            [ids] their rows in the history.

        Raises:
            ValueError: An id is a duplicate; then none is added.
        """
        rows = self.history.extend(ids)
        self._inner.grown()
        return rows

    def remove(self, rows: Collection[int]) -> None:
        """Remove prompts permanently, drawn ones or fresh ones."""
        if not rows:
            return
        members = self._inner.members
        everything = np.arange(len(self.history)) if members is None else members
        gone = np.fromiter(rows, np.int64, len(rows))
        self._inner.keep_only(np.setdiff1d(everything, gone))
        for row in rows:
            self._fresh.pop(row, None)

    # -- draw and update ----------------------------------------------------------------------------------------------

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw fresh prompts, the oldest first; where these are too few, replay earlier ones."""
        fresh = self._draw_fresh(count, in_flight)
        excluded = {*in_flight, *fresh.tolist()}  # fresh prompts that are left are in flight
        if not self._replay or len(fresh) == count or not self._others_than(excluded):
            return fresh
        replayed = self._inner.draw(count - len(fresh), rng, excluded)
        self._inner.mark_drawn(fresh)  # again, because a reset in between brings them back
        self._replaying += len(replayed)
        return np.concatenate([fresh, replayed])

    def _draw_fresh(self, count: int, in_flight: Collection[int]) -> Rows:
        taken = list(islice((row for row in self._fresh if row not in in_flight), count))
        for row in taken:
            del self._fresh[row]
        rows = np.asarray(taken, np.int64)
        self._inner.mark_drawn(rows)
        return rows

    def _others_than(self, excluded: set[int]) -> bool:
        """Whether there is a prompt to replay; without one, a draw would reset a cycling pool for nothing."""
        present = np.zeros(len(self.history), np.bool_)
        present[slice(None) if self._inner.members is None else self._inner.members] = True
        present[np.fromiter(excluded, np.int64, len(excluded))] = False
        return bool(present.any())

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Update the inner pool, and remove drawn prompts when a reset is due."""
        self._inner.update(records)
        self._replayed, self._replaying = self._replaying, 0
        self._steps += 1
        if self._reset_every is not None and self._steps % self._reset_every == 0:
            self._inner.keep_only(np.fromiter(self._fresh, np.int64, len(self._fresh)))

    def metrics(self) -> dict[str, float]:
        """Numbers of fresh prompts and of prompts replayed in the last step, and the inner pool's metrics."""
        return {**self._inner.metrics(), "pool/fresh": len(self._fresh), "pool/replayed": self._replayed}

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State without the ids, which the caller saves with the tasks."""
        return {
            "inner": self._inner.state_dict(),
            "members": self._inner.members,
            "fresh": list(self._fresh),
            "steps": self._steps,
            "replaying": self._replaying,
            "replayed": self._replayed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore, after the ids and the history."""
        self._inner.load_state_dict(state["inner"])
        self._inner.members = None
        if state["members"] is not None:
            self._inner.keep_only(state["members"])
        self._fresh = dict.fromkeys(state["fresh"])
        self._steps = int(state["steps"])
        self._replaying, self._replayed = int(state["replaying"]), int(state["replayed"])
