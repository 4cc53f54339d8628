"""Every prompt in turn."""

from collections.abc import Collection, Sequence

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.weighted_rows import Rows

__all__ = ["CyclingPool"]


class CyclingPool(WeightedPool):
    """Every drawn prompt is consumed; when all are, all come back (GRPO, and Bounded DAPO with oversampling).

    A step that needs more prompts than are left takes these, resets the pool and goes on drawing; prompts of the step
    and prompts in flight are left out, so a step never holds a prompt twice.
    """

    consumes_on_draw = True

    def __init__(self, history: History) -> None:
        super().__init__(history, consumed_weight=0.0)

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw and consume."""
        return self._consume(self._by_weight(rng), count, in_flight)

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Nothing: prompts were consumed when they were drawn."""
