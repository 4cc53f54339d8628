"""Student's t distribution: tail probabilities and quantiles, to ten digits, with the standard library alone.

P(|T| > t) with v degrees of freedom is I_x(v / 2, 1 / 2), the regularized incomplete beta function at
x = v / (v + t^2). It is evaluated by its continued fraction (Abramowitz and Stegun 26.5.8, Lentz's method).
"""

import math
from functools import lru_cache

__all__ = ["quantile", "two_sided"]

_TINY = 1e-300
_PRECISION = 1e-15
_TERMS = 10_000
_HALVINGS = 200


def two_sided(t: float, freedom: float) -> float:
    """P(|T| > |t|): the two-sided p-value of a t statistic; nan for nan.

    Args:
        t: May be infinite.
        freedom: Degrees of freedom, above 0.
    """
    if math.isnan(t):
        return math.nan
    if math.isinf(t):
        return 0.0
    square = t * t
    if square > freedom:
        return _incomplete_beta(freedom / (freedom + square), square / (freedom + square), freedom / 2, 0.5)
    return 1.0 - _incomplete_beta(square / (freedom + square), freedom / (freedom + square), 0.5, freedom / 2)


@lru_cache(maxsize=1024)
def quantile(probability: float, freedom: float) -> float:
    """The t below which T lies with this probability.

    Args:
        probability: Above 0 and below 1.
        freedom: Degrees of freedom, above 0.
    """
    if not 0 < probability < 1 or not freedom > 0:
        raise ValueError(f"quantile({probability}, {freedom}): a probability in (0, 1) and degrees of freedom above 0")
    if probability < 0.5:
        return -quantile(1 - probability, freedom)
    tails = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > tails:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided(middle, freedom) > tails else (low, middle)
    return high if probability > 0.5 else 0.0


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """I_x(a, b) for x of at most about 1/2; ``rest`` is 1 - x."""
    if x <= 0:
        return 0.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) / a * _fraction(x, a, b)
    return 1.0 - math.exp(log_front) / b * _fraction(rest, b, a)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function."""
    c, d = 1.0, 1.0 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for numerator in (even, odd):
            d = 1.0 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            change *= d * c
        value *= change
        if abs(change - 1) < _PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
