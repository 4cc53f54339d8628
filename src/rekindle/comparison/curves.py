"""Numbers of a learning curve: accuracy at a cost, mean accuracy up to it, and the cost of an accuracy.

A curve is a measure by what was spent when it was taken. Between two evaluations it is a straight line.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LATE", "SMOOTHED", "Curve", "cost_to_reach", "late_mean", "late_points", "mean_over"]

LATE = 0.15
"""Part of the cost over which an accuracy is averaged, because single evaluations vary."""
SMOOTHED = 3
"""Evaluations in a row whose mean must reach a target, so that no single lucky one does."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Evaluations in order.

    Attributes:
        x: [N] what was spent before each evaluation, ascending.
        y: [N] the measure.
    """

    x: Sequence[float]
    y: Sequence[float]

    @property
    def end(self) -> float | None:
        """What was spent before the last evaluation; None without evaluations."""
        return self.x[-1] if self.x else None


def late_mean(curve: Curve, at: float) -> float | None:
    """Mean of the curve over the last 15 % of the cost up to ``at``; None where no evaluation is as early as that."""
    if not curve.x or curve.x[0] > at:
        return None
    return mean_over(curve, at - LATE * (at - curve.x[0]), at)


def late_points(curve: Curve, at: float) -> int:
    """Number of evaluations that ``late_mean`` averages, at least 1."""
    begin = at - LATE * (at - curve.x[0]) if curve.x else at
    return max(1, sum(begin <= x <= at for x in curve.x))


def mean_over(curve: Curve, begin: float, end: float) -> float | None:
    """Mean of the curve between two costs: the area under it, over their distance.

    None where the curve does not reach ``end`` or begins after ``begin``.
    """
    if not curve.x or curve.x[0] > begin or curve.x[-1] < end:
        return None
    x, y = np.array(curve.x, dtype=float), np.array(curve.y, dtype=float)
    inside = (x > begin) & (x < end)
    places = np.concatenate([[begin], x[inside], [end]])
    heights = np.concatenate([[np.interp(begin, x, y)], y[inside], [np.interp(end, x, y)]])
    if end <= begin:
        return float(heights[-1])
    areas = (heights[1:] + heights[:-1]) / 2 * np.diff(places)
    return float(areas.sum() / (end - begin))


def cost_to_reach(curve: Curve, target: float, smoothed: int = SMOOTHED) -> float | None:
    """What was spent when the mean of ``smoothed`` evaluations in a row is first at least the target; None: never."""
    for last in range(max(0, min(smoothed, len(curve.x)) - 1), len(curve.x)):
        if statistics.fmean(curve.y[max(0, last - smoothed + 1) : last + 1]) >= target:
            return curve.x[last]
    return None
