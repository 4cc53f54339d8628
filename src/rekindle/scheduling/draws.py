"""Draws: the prompts that a step takes from its pool, with their group sizes."""

from collections.abc import Collection

import numpy as np

from rekindle.scheduling.cohorts import Cohort
from rekindle.scheduling.group_sizes import GroupSize
from rekindle.scheduling.pools import Pool

__all__ = ["Draws"]


class Draws:
    """Draws prompts into cohorts. The random numbers of a draw depend only on (seed, step, round).

    Args:
        pool: Pool of prompts.
        groups_per_step: B, the most groups of one update.
        oversample: k, prompts drawn for a step are k * B.
        group_size: Rollouts per prompt, for all prompts of a draw; unused where the pool prescribes a size.
        rollouts_per_step: With a pool that prescribes the group size, B is this divided by the size; None: B stays.
        seed: Seed of the draws.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        groups_per_step: int,
        oversample: int,
        group_size: GroupSize,
        rollouts_per_step: int | None,
        seed: int,
    ) -> None:
        self._pool, self._group_size, self._seed = pool, group_size, seed
        self._groups_per_step, self._oversample, self._rollouts_per_step = (
            groups_per_step,
            oversample,
            rollouts_per_step,
        )

    @property
    def groups_per_step(self) -> int:
        """B of the next step."""
        if self._pool.group_size is None or self._rollouts_per_step is None:
            return self._groups_per_step
        return max(1, self._rollouts_per_step // self._pool.group_size)

    def begin(self, step: int, in_flight: Collection[int]) -> Cohort:
        """Begin the cohort of a step with its first draw; it has no rows where the pool has no prompts."""
        cohort = Cohort(step=step, target=self.groups_per_step)
        self._draw(cohort, cohort.target * self._oversample, in_flight)
        return cohort

    def again(self, cohort: Cohort, in_flight: Collection[int]) -> bool:
        """Draw one more round of ``target`` prompts into a cohort; return whether the pool had any."""
        cohort.rounds += 1
        return self._draw(cohort, cohort.target, in_flight)

    def _draw(self, cohort: Cohort, count: int, in_flight: Collection[int]) -> bool:
        rng, size = np.random.default_rng((self._seed, cohort.step, cohort.rounds, 0)), self._pool.group_size
        drawn = self._pool.draw(count, rng, {*in_flight, *cohort.drawn})
        rows = drawn.tolist()
        cohort.add_draw(rows, self._group_size(self._pool.history, drawn) if size is None else [size] * len(rows))
        return bool(rows)
