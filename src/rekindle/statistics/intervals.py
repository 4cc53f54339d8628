"""Intervals: of a mean by Student's t, and of a share by Wilson.

Values that are not finite belong to no interval; who has some leaves them out and says so.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from rekindle.statistics.students_t import quantile

__all__ = ["LEVEL", "Interval", "mean_interval", "normal_quantile", "wilson"]

LEVEL = 0.95
"""Confidence level of all intervals."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits of a value; nan where there are too few measurements for an interval."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def holds(self, value: float) -> bool:
        """Whether the value is inside, limits included; an unknown interval holds every value."""
        return not self.known or self.low <= value <= self.high

    def exponential(self) -> "Interval":
        """The interval of exp(value)."""
        return Interval(*(_exponential(limit) for limit in (self.low, self.high)))


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def normal_quantile() -> float:
    """The normal quantile of the level: 1.959964 for 95 %."""
    return NormalDist().inv_cdf((1 + LEVEL) / 2)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half width of its interval by Student's t; the half width of a single value is nan.

    Args:
        values: At least one finite number, independent, of a distribution not too far from a normal one.
    """
    count = len(values)
    if count < 2:
        return statistics.fmean(values), math.nan
    return statistics.fmean(values), quantile((1 + LEVEL) / 2, count - 1) * statistics.stdev(values) / math.sqrt(count)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's interval of a share; it has a width where the share is 0 or 1 as well.

    Args:
        successes: At most ``trials``; for a mean success rate, rate * ``trials``.
        trials: Number of independent trials, above 0.
    """
    z = normal_quantile()
    share, width = successes / trials, z * z / trials
    centre = (share + width / 2) / (1 + width)
    half = z * math.sqrt(max(0.0, share * (1 - share)) / trials + width / trials / 4) / (1 + width)
    return max(0.0, centre - half), min(1.0, centre + half)
