"""Base class of pools: a draw weight per prompt in the history, consumption and resets."""

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
    """Draw weight per prompt; pools differ in the choice of prompts and in the changes of weights.

    Args:
        history: History whose ``weight`` column the pool writes.
        consumed_weight: Prompts of larger weight are live.
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
        """RETIRED if draws consume prompts, else RECYCLED."""
        return Fate.RETIRED if self.consumes_on_draw else Fate.RECYCLED

    @property
    def live(self) -> int:
        """Number of prompts that are not consumed."""
        return self._rows.live

    def grown(self) -> None:
        """Add the rows by which the history has grown: live, with weight 1."""
        if self.members is not None:
            self.members = np.append(self.members, np.arange(len(self._rows), len(self.history)))
        self._rows.attach(self.history.weight)

    def mark_drawn(self, rows: Rows) -> None:
        """Mark rows as drawn by a growing pool: consume them if ``consumes_on_draw``."""
        if self.consumes_on_draw:
            self._rows.set(rows, 0.0)

    def keep_only(self, rows: Rows) -> None:
        """Remove all other prompts permanently: their weight is 0, and no reset brings them back."""
        self.members, weights = rows, self.history.weight[rows]
        self._rows.fill(0.0)
        self._rows.set(rows, weights)

    def metrics(self) -> dict[str, float]:
        """No metrics beyond live prompts and resets."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Number of resets; weights are in the history."""
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
        """Reset when less than ``fraction`` of the prompts is live, and with ``if_empty`` when none is."""
        live, all_of_them = self.live, len(self.history if self.members is None else self.members)
        if live < fraction * all_of_them or (if_empty and not live):
            self._reset()

    def _lower(self, rows: npt.ArrayLike, weight: float) -> None:
        """Lower weights to ``weight``; smaller weights, as of removed prompts, stay."""
        rows = np.asarray(rows, np.int64)
        self._rows.set(rows, np.minimum(self.history.weight[rows], np.float32(weight)))

    def _consume(self, pick: Pick, count: int, in_flight: Collection[int]) -> Rows:
        """Draw and consume; at the end of an epoch reset the pool and draw the rest.

        Prompts drawn before the reset and prompts in flight are left out after it, so a step never contains one twice.
        Prompts of the draw are consumed in the new epoch too: they are sampled by the policy at its start.
        """
        rows = pick(count, in_flight)
        self._rows.set(rows, 0.0)
        if len(rows) < count and not self.live:
            self._reset()
            more = pick(count - len(rows), {*in_flight, *rows.tolist()})
            rows = np.concatenate([rows, more])
            self._rows.set(rows, 0.0)
        return rows
