"""What the estimators share: when rewards count as equal, and the exact sums behind means and deviations.

Rewards count as equal when the largest is not above the smallest. A standard deviation is never asked, because
rounding can make it positive for equal rewards.
"""

import math
from collections.abc import Sequence

__all__ = ["EPSILON", "all_equal", "mean", "root_mean_square", "standardize"]

EPSILON = 1e-8
"""Added to a standard deviation. Rewards that differ by rounding only (1e-16) then stay far below any real advantage,
and those of a real group keep seven digits."""


def all_equal(values: Sequence[float]) -> bool:
    """Whether no value is above another; true of none and of one."""
    return not values or not max(values) > min(values)


def mean(values: Sequence[float]) -> float:
    """The mean, summed without rounding so that the order of the values does not matter; 0.0 of no values."""
    return math.fsum(values) / len(values) if values else 0.0


def root_mean_square(values: Sequence[float]) -> float:
    """The spread about zero, summed without rounding; 0.0 of no values."""
    return math.sqrt(mean([value**2 for value in values]))


def standardize(values: Sequence[float]) -> list[float]:
    """(x - mean) / (population standard deviation + EPSILON); equal values give exact zeros."""
    if all_equal(values):
        return [0.0] * len(values)
    centre = mean(values)
    deviation = root_mean_square([value - centre for value in values])
    return [(value - centre) / (deviation + EPSILON) for value in values]
