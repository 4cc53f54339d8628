"""The prioritized pool: prompts drawn by weight and priority."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools.recycling import trained_rows
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.priorities import Priority
from rekindle.scheduling.weighted_rows import Rows, WeightedRows
from rekindle.types import UserError

__all__ = ["PrioritizedPool"]

_LAST = 1e-30
"""Smallest priority, so that a prompt of priority 0 is drawn when no other is left."""


class PrioritizedPool(WeightedPool):
    """Pool drawn by weight x priority: consumption lowers the weight, and every draw computes the priority anew.

    Used by several methods: posterior recycling (``signal_chance``), MoPPS (arXiv 2507.04632; a Thompson sample
    of it, ``select="best"``), SPO (arXiv 2509.13232; ``uncertainty``); with the uniform priority it is CyclingPool
    ("drawn"), RecyclingPool ("trained", hard and soft) or independent uniform draws ("none").

    A draw reads the whole history: its time grows with the pool, about 0.1 s per million prompts.

    Args:
        history: History of all prompts.
        priority: Priority rule.
        select: Draw in proportion ("weighted"), or take the largest, ties at random ("best").
        consume: Prompts that leave until a reset: none, those drawn, or those trained on.
        alpha: Weight of a consumed prompt, with ``consume="trained"``.
        reset_below: Live fraction at which all come back, with ``consume="trained"``.
    """

    def __init__(
        self,
        history: History,
        priority: Priority,
        *,
        select: Literal["weighted", "best"] = "weighted",
        consume: Literal["none", "drawn", "trained"] = "none",
        alpha: float = 0.0,
        reset_below: float = 0.0,
    ) -> None:
        check_bounds("0 is the paper's rule", ge=0, lt=1, alpha=alpha, reset_below=reset_below)
        if consume != "trained" and (alpha or reset_below):
            raise UserError(
                f'alpha and reset_below have no effect with consume = "{consume}"; leave them out, or give '
                'consume = "trained"'
            )
        super().__init__(history, consumed_weight=alpha)
        self.consumes_on_draw = consume == "drawn"
        self._priority, self._select, self._consumes = priority, select, consume
        self._alpha, self._fraction = alpha, reset_below
        self._worth = np.zeros(len(history), np.float32)
        self._weighted = WeightedRows(self._worth)

    def grown(self) -> None:
        """Add the rows by which the history has grown."""
        super().grown()
        self._worth = np.zeros(len(self.history), np.float32)
        self._weighted.attach(self._worth)

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw by weight x priority; priorities are computed once per draw."""
        priority = np.maximum(self._priority(self.history, rng), _LAST)

        def pick(number: int, excluded: Collection[int]) -> Rows:
            return self._pick(priority, number, rng, excluded)

        if self.consumes_on_draw:
            return self._consume(pick, count, in_flight)
        if self._consumes == "trained":
            self._reset_below(self._fraction, if_empty=True)
        return pick(count, in_flight)

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Consume the prompts of the update batch, with ``consume="trained"``."""
        if self._consumes == "trained":
            self._lower(trained_rows(records), self._alpha)

    def _pick(
        self, priority: npt.NDArray[np.float64], count: int, rng: np.random.Generator, excluded: Collection[int]
    ) -> Rows:
        np.multiply(self.history.weight, priority, out=self._worth, casting="same_kind")
        if self._select == "best":
            self._worth[np.fromiter(excluded, np.int64, len(excluded))] = 0.0
            return _best(self._worth, count, rng)
        self._weighted.refresh()
        return self._weighted.draw(count, rng, excluded)


def _best(worth: npt.NDArray[np.float32], count: int, rng: np.random.Generator) -> Rows:
    """Rows of the ``count`` largest positive values; ties are drawn by ``rng``."""
    count = min(count, int(np.count_nonzero(worth)))
    if not count:
        return np.empty(0, np.int64)
    threshold = np.partition(worth, len(worth) - count)[len(worth) - count]
    above = np.flatnonzero(worth > threshold)
    equal = rng.permutation(np.flatnonzero(worth == threshold))
    return np.concatenate([above, equal[: count - len(above)]])
