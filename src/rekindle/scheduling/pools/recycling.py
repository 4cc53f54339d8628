"""The recycling pool: only prompts of the update batch leave it."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Fate, Outcome

__all__ = ["RecyclingPool", "trained_rows"]


class RecyclingPool(WeightedPool):
    """Query recycling (arXiv 2606.10709): only prompts of the update batch are consumed.

    State: one weight w in [0, 1] per prompt, all 1 at the start. Prompts are drawn in proportion to w without
    replacement. A prompt in the update batch gets w = ``alpha`` (0: hard recycling; the paper tried 0.1 as the soft
    one). Every other prompt, drawn or not, keeps its weight: prompts of groups without signal, and of groups with
    signal that were not needed, are eligible again.

    Degenerate case: after many visits the pool shrinks to prompts that never have signal. When it is empty, it is reset
    (all weights 1) or the run stops, by ``on_empty``; ``reset_below`` resets it earlier, at a live fraction. The paper
    has no rule for this, because it draws each prompt about twice.
    """

    consumes_on_draw = False

    def __init__(
        self,
        history: History,
        alpha: float = 0.0,
        on_empty: Literal["reset", "stop"] = "reset",
        reset_below: float = 0.0,
    ) -> None:
        check_bounds("0 is the paper's rule", ge=0, lt=1, alpha=alpha, reset_below=reset_below)
        super().__init__(history, consumed_weight=alpha)
        self._alpha, self._on_empty, self._fraction = alpha, on_empty, reset_below

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw prompts; weights stay."""
        self._reset_below(self._fraction, if_empty=self._on_empty == "reset")
        return self._rows.draw(count, rng, in_flight)

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Consume the prompts of the update batch that carried signal."""
        self._lower(trained_rows(records), self._alpha)


def trained_rows(records: Sequence[GroupRecord]) -> list[int]:
    """Rows of the update batch whose rewards differed; a prompt with several requests appears once for each.

    A gate may pass unanimous groups (ERPO's solved prompts); their prompts stay in the pool.
    """
    return [one.request.row for one in records if one.fate is Fate.TRAINED and one.outcome is Outcome.MIXED]
