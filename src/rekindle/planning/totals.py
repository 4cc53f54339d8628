"""What a stretch of a run is expected to ask for and to get: counts of groups, rollouts and tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from rekindle.planning.pass_rates import Floats

__all__ = ["Horizon", "Interval", "Totals", "interval_of"]

T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1, 2, ... 9 degrees of freedom."""
MANY = 40
"""Values from which quantiles are taken; of fewer the limits come from Student's t."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """Where a plan ends, after a whole step: at the first of these.

    Attributes:
        groups: Groups rolled out; an epoch has as many as there are prompts.
        rollouts: Rollouts.
        steps: Steps.
    """

    groups: int | None = None
    rollouts: int | None = None
    steps: int | None = None

    def part(self, groups: Floats | float, rollouts: Floats | float, steps: float) -> Floats:
        """How much of the way is gone: 1 or more at the end."""
        parts = [
            np.asarray(done, float) / end
            for done, end in ((groups, self.groups), (rollouts, self.rollouts), (steps, self.steps))
            if end is not None
        ]
        return np.asarray(np.maximum.reduce(np.broadcast_arrays(*parts)))


@dataclass(frozen=True, slots=True)
class Interval:
    """An expected value, and limits between which it lies 95 times in 100 if the assumptions hold; nan: not known."""

    mean: float
    low: float
    high: float


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over the steps of simulated runs: [runs] each.

    Attributes:
        steps: Steps.
        groups: Groups rolled out.
        all_wrong: Groups whose rollouts were all wrong.
        all_correct: Groups whose rollouts were all right.
        trained: Groups with signal in updates.
        rollouts: Rollouts.
        rows: Rollouts in updates that have an advantage.
        variance: Sum over these of the squared distance of the reward from its group's mean; for groups of one, of
            p (1 - p), as if the baseline knew each prompt's rate.
        sampled_tokens: Tokens of all rollouts; nan where lengths are not known.
        ability: Of the simulated policy at the end; 0 at the start.
    """

    steps: Floats
    groups: Floats
    all_wrong: Floats
    all_correct: Floats
    trained: Floats
    rollouts: Floats
    rows: Floats
    variance: Floats
    sampled_tokens: Floats
    ability: Floats

    @classmethod
    def zeros(cls, runs: int) -> "Totals":
        """Nothing yet."""
        return cls(**{field.name: np.zeros(runs) for field in fields(cls)})

    @classmethod
    def joined(cls, parts: Sequence["Totals"]) -> "Totals":
        """The runs of all parts."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )

    @property
    def with_signal(self) -> Floats:
        """Groups with signal, trained on or not."""
        return self.groups - self.all_wrong - self.all_correct

    def __len__(self) -> int:
        return len(self.steps)


def interval_of(values: Floats) -> Interval:
    """Mean and limits of simulated values; those that are not finite are left out.

    Of few values the limits are those of one further value by Student's t, not below 0 where no value is; of a single
    value they are nan.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan)
    if len(known) >= MANY:
        low, high = np.quantile(known, (0.025, 0.975))
        return Interval(mean, float(low), float(high))
    quantile = T_QUANTILES[min(len(known) - 1, len(T_QUANTILES)) - 1]
    half = quantile * float(known.std(ddof=1)) * math.sqrt(1 + 1 / len(known))
    return Interval(mean, max(0.0, mean - half) if known.min() >= 0 else mean - half, mean + half)
