"""A pool that grows while the run goes on: search self-play adds prompts, and an inner pool says how they come back."""

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
    """Prompts are *fresh* until they are first drawn, in the order they came; from then on the inner pool has them.

    Search self-play (arXiv 2510.18821) fills a batch that has too few valid questions with earlier ones ("replay"), and
    forgets these every so many steps ("replay with reset"). Every prompt is in the pool once, ever, and whether an
    earlier one is drawn again, and how likely, is the inner pool's rule: so new prompts are recycled, skipped or ranked
    as any others are.

    An empty draw is not the end of the run. Before the first ``add`` there is nothing to draw unless the history has
    prompts already; these are fresh as well.

    A run is restored in this order: ``restore_ids`` with the ids that were added, the history's ``load_state_dict``,
    this pool's (which the scheduler calls).

    Args:
        inner: Over a history that may be ``History((), growing=True)``; a new pool, and not a phased one.
        replay: Fill a draw with prompts that were drawn before. False: each is played in one step, and has left for
            good then, so that no group without signal is recycled.
        reset_every: After every so many steps all prompts leave for good that were drawn before; None: they stay.
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
        """Rows in the order they came; an ordered set."""
        self._steps = self._replaying = self._replayed = 0

    @property
    def no_signal(self) -> Fate:
        """With replay that of the inner pool; RETIRED without, as every prompt is drawn once."""
        return self._inner.no_signal if self._replay else Fate.RETIRED

    @property
    def live(self) -> int:
        """Prompts that are fresh, and with replay those that the inner pool has not consumed."""
        return self._inner.live if self._replay else len(self._fresh)

    @property
    def fresh(self) -> int:
        """Prompts that nobody has drawn yet."""
        return len(self._fresh)

    @property
    def resets(self) -> int:
        """How often the inner pool was refilled."""
        return self._inner.resets

    @property
    def group_size(self) -> int | None:
        """What the inner pool prescribes."""
        return self._inner.group_size

    @property
    def finished(self) -> str | None:
        """Why the inner pool has ended the run."""
        return self._inner.finished

    # -- growth -------------------------------------------------------------------------------------------------------

    def add(self, ids: Iterable[str]) -> Rows:
        """Take in new prompts; they are drawn first, in this order.

        Returns:
            [ids] their rows in the history.

        Raises:
            ValueError: An id comes twice, or was added before; then none is added.
        """
        rows = self.restore_ids(ids)
        self._fresh.update(dict.fromkeys(rows.tolist()))
        return rows

    def restore_ids(self, ids: Iterable[str]) -> Rows:
        """Take in prompts that a saved run had added, before its state is loaded, which says which of them are fresh.

        Returns and raises what ``add`` does.
        """
        rows = self.history.extend(ids)
        self._inner.grown()
        return rows

    # -- draw and update ----------------------------------------------------------------------------------------------

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw fresh prompts, the first that came first; where these are too few, replay."""
        fresh = self._draw_fresh(count, in_flight)
        excluded = {*in_flight, *fresh.tolist()}  # fresh prompts that are left are in flight
        if not self._replay or len(fresh) == count or not self._others_than(excluded):
            return fresh
        replayed = self._inner.draw(count - len(fresh), rng, excluded)
        self._inner.mark_drawn(fresh)  # again: a reset in between has brought them back
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
        """Whether there is any prompt to replay: without, a pool that cycles would be reset for nothing."""
        present = np.zeros(len(self.history), np.bool_)
        present[slice(None) if self._inner.members is None else self._inner.members] = True
        present[np.fromiter(excluded, np.int64, len(excluded))] = False
        return bool(present.any())

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Let the inner pool learn of the step, and forget what was drawn where it is time to."""
        self._inner.update(records)
        self._replayed, self._replaying = self._replaying, 0
        self._steps += 1
        if self._reset_every is not None and self._steps % self._reset_every == 0:
            self._inner.keep_only(np.fromiter(self._fresh, np.int64, len(self._fresh)))

    def metrics(self) -> dict[str, float]:
        """Prompts that are still fresh, those replayed for the last step, and the inner pool's."""
        return {**self._inner.metrics(), "pool/fresh": len(self._fresh), "pool/replayed": self._replayed}

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything but the ids; whoever keeps the tasks has them."""
        return {
            "inner": self._inner.state_dict(),
            "members": self._inner.members,
            "fresh": list(self._fresh),
            "steps": self._steps,
            "replaying": self._replaying,
            "replayed": self._replayed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; the ids and the history are restored before."""
        self._inner.load_state_dict(state["inner"])
        self._inner.members = None
        if state["members"] is not None:
            self._inner.keep_only(state["members"])
        self._fresh = dict.fromkeys(state["fresh"])
        self._steps = int(state["steps"])
        self._replaying, self._replayed = int(state["replaying"]), int(state["replayed"])
