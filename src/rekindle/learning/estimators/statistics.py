"""Shared statistics of the estimators: equality of rewards, and means and deviations from exact sums.

Rewards are equal when the largest is not above the smallest. The standard deviation is not used for this test, because
rounding can make it positive for equal rewards.

Values may have units: how often each counts. A mean over tokens is that of values that count once per token.
"""

import math
from collections.abc import Sequence
from typing import Literal

__all__ = ["EPSILON", "Deviation", "all_equal", "mean", "root_mean_square", "standardize"]

EPSILON = 1e-8
"""Added to a standard deviation, unless a setting says otherwise. Rewards that differ by rounding only (1e-16) then
give advantages far below any real one, and the advantages of a real group keep seven digits."""
ROUNDING = 1e-12
"""A mean that is smaller than the values by this factor is rounding alone."""

Deviation = Literal["population", "sample"]
"""Kind of standard deviation: the sum of squares is divided by the number of units N, or by N - 1."""


def all_equal(values: Sequence[float]) -> bool:
    """Whether all values are equal; true for zero or one value."""
    return not values or not max(values) > min(values)


def mean(values: Sequence[float], units: Sequence[float] | None = None) -> float:
    """The mean, summed without rounding, so independent of the order; 0.0 for no values or no units."""
    if units is None:
        return math.fsum(values) / len(values) if values else 0.0
    total = math.fsum(units)
    return math.fsum(unit * value for unit, value in zip(units, values, strict=True)) / total if total else 0.0


def root_mean_square(values: Sequence[float], units: Sequence[float] | None = None) -> float:
    """The root mean square, summed without rounding; 0.0 for no values or no units."""
    return math.sqrt(mean([value**2 for value in values], units))


def standardize(
    values: Sequence[float],
    units: Sequence[float] | None = None,
    deviation: Deviation = "population",
    epsilon: float = EPSILON,
) -> list[float]:
    """(x - mean) / (standard deviation + epsilon); equal values give exact zeros.

    Args:
        values: [n].
        units: [n] how often each value counts; None: once.
        deviation: The kind of standard deviation.
        epsilon: Added to it.
    """
    if all_equal(values):
        return [0.0] * len(values)
    centre = mean(values, units)
    if abs(centre) < ROUNDING * max(map(abs, values)):
        centre = 0.0  # so that values of 0 among others that sum to 0 stay exactly 0
    spread = root_mean_square([value - centre for value in values], units)
    if deviation == "sample":
        spread *= _bessel(len(values) if units is None else math.fsum(units))
    return [(value - centre) / (spread + epsilon) for value in values]


def _bessel(count: float) -> float:
    """Ratio of the sample to the population standard deviation; 1 where there is one unit or less."""
    return math.sqrt(count / (count - 1)) if count > 1 else 1.0
