"""Shared statistics of the estimators: equality of rewards, and means and deviations from exact sums.

Rewards are equal when the largest is not above the smallest. The standard deviation is not used for this test, because
rounding can make it positive for equal rewards.
"""

import math
from collections.abc import Sequence

__all__ = ["EPSILON", "all_equal", "mean", "root_mean_square", "standardize"]

EPSILON = 1e-8
"""Added to a standard deviation. Rewards that differ by rounding only (1e-16) then give advantages far below any real
one, and the advantages of a real group keep seven digits."""


def all_equal(values: Sequence[float]) -> bool:
    """Whether all values are equal; true for zero or one value."""
    return not values or not max(values) > min(values)


def mean(values: Sequence[float]) -> float:
    """The mean, summed without rounding, so independent of the order; 0.0 for no values."""
    return math.fsum(values) / len(values) if values else 0.0


def root_mean_square(values: Sequence[float]) -> float:
    """The root mean square, summed without rounding; 0.0 for no values."""
    return math.sqrt(mean([value**2 for value in values]))


def standardize(values: Sequence[float]) -> list[float]:
    """(x - mean) / (population standard deviation + EPSILON); equal values give exact zeros."""
    if all_equal(values):
        return [0.0] * len(values)
    centre = mean(values)
    deviation = root_mean_square([value - centre for value in values])
    return [(value - centre) / (deviation + EPSILON) for value in values]
