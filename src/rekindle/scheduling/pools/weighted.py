"""The mechanics that pools share: a weight per prompt in the history, consumed and refilled."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.history import History
from rekindle.scheduling.weighted_rows import Rows, WeightedRows
from rekindle.types import Fate

__all__ = ["Pick", "WeightedPool"]

Pick = Callable[[int, Collection[int]], Rows]
"""(count, excluded rows) -> up to ``count`` distinct eligible rows."""


class WeightedPool:
    """A draw weight per prompt; pools differ in who is drawn by it and what lowers it.

    Args:
        history: Its ``weight`` column is the pool's.
        consumed_weight: Prompts of a greater weight are live.
    """

    consumes_on_draw: bool
    grows = False

    def __init__(self, history: History, consumed_weight: float) -> None:
        self.history = history
        self.resets = 0
        self.group_size: int | None = None
        self.finished: str | None = None
        self.members: Rows | None = None
        """Rows that a reset brings back; None: all."""
        self._rows = WeightedRows(history.weight, live_above=consumed_weight)

    @property
    def no_signal(self) -> Fate:
        """RETIRED where a draw has consumed the prompt, else RECYCLED."""
        return Fate.RETIRED if self.consumes_on_draw else Fate.RECYCLED

    @property
    def live(self) -> int:
        """Prompts that are not consumed."""
        return self._rows.live

    def grown(self) -> None:
        """Take in the rows that the history has grown by: live, with weight 1."""
        if self.members is not None:
            self.members = np.append(self.members, np.arange(len(self._rows), len(self.history)))
        self._rows.attach(self.history.weight)

    def mark_drawn(self, rows: Rows) -> None:
        """Somebody else has drawn these: consume them where ``consumes_on_draw``."""
        if self.consumes_on_draw:
            self._rows.set(rows, 0.0)

    def keep_only(self, rows: Rows) -> None:
        """Let every other prompt leave for good: it weighs 0, whatever comes, and no reset brings it back."""
        self.members, weights = rows, self.history.weight[rows]
        self._rows.fill(0.0)
        self._rows.set(rows, weights)

    def metrics(self) -> dict[str, float]:
        """Nothing beyond live prompts and resets."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The count of resets; weights are in the history."""
        return {"resets": self.resets}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore, and read the history's weights."""
        self.resets = int(state["resets"])
        self._rows.refresh()

    def _by_weight(self, rng: np.random.Generator) -> Pick:
        return lambda count, excluded: self._rows.draw(count, rng, excluded)

    def _fill(self) -> None:
        self._rows.fill(1.0 if self.members is None else 0.0)
        if self.members is not None:
            self._rows.set(self.members, 1.0)

    def _reset(self) -> None:
        self._fill()
        self.resets += 1

    def _reset_below(self, fraction: float, *, if_empty: bool) -> None:
        """Reset when less than this fraction of the prompts is live, and if wished when none is."""
        live, all_of_them = self.live, len(self.history if self.members is None else self.members)
        if live < fraction * all_of_them or (if_empty and not live):
            self._reset()

    def _lower(self, rows: npt.ArrayLike, weight: float) -> None:
        """Lower weights to this one; what weighs less, as a prompt does that has left for good, stays there."""
        rows = np.asarray(rows, np.int64)
        self._rows.set(rows, np.minimum(self.history.weight[rows], np.float32(weight)))

    def _consume(self, pick: Pick, count: int, in_flight: Collection[int]) -> Rows:
        """Draw and consume; go on after a reset where a draw crosses the end of an epoch.

        Prompts drawn before the reset and prompts in flight are left out after it, so a step never holds one twice.
        Those of the draw count for the new epoch as well: they were sampled by the policy that begins it.
        """
        rows = pick(count, in_flight)
        self._rows.set(rows, 0.0)
        if len(rows) < count and not self.live:
            self._reset()
            more = pick(count - len(rows), {*in_flight, *rows.tolist()})
            rows = np.concatenate([rows, more])
            self._rows.set(rows, 0.0)
        return rows
