"""The cycling pool: every prompt in turn."""

from collections.abc import Collection, Sequence

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.weighted_rows import Rows

__all__ = ["CyclingPool"]


class CyclingPool(WeightedPool):
    """Pool without repetition: drawn prompts are consumed, and all come back when none is left (GRPO, Bounded DAPO).

    A step that needs more prompts than are left takes these, resets the pool and draws again. Prompts of the step and
    prompts in flight are left out, so a step never contains a prompt twice.
    """

    consumes_on_draw = True

    def __init__(self, history: History) -> None:
        super().__init__(history, consumed_weight=0.0)

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw prompts and consume them."""
        return self._consume(self._by_weight(rng), count, in_flight)

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Do nothing: prompts were consumed when drawn."""
