"""Comparisons of two arms, paired by seed: differences, and ratios of costs.

Equal seeds draw equal prompts and random numbers at the start, so much of the variation between seeds is common to both
arms and cancels in the differences. A pair with a value that is missing or not finite is left out and counted.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rekindle.statistics.bootstrap import bootstrap_interval
from rekindle.statistics.intervals import Interval, mean_interval
from rekindle.statistics.students_t import two_sided

__all__ = ["Paired", "holm", "paired_differences", "paired_log_ratios"]

Values = Mapping[int, float | None]
"""A value per seed; None: it is not known."""

_FLAT = 1e-12
"""Largest spread of differences, relative to the values, that is rounding."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Differences over the seeds that two arms have in common.

    Attributes:
        differences: Ours minus theirs by seed, in ascending order of seeds.
        left_out: Common seeds without a finite value on both sides.
        mean: nan without pairs.
        t: Interval by Student's t; unknown with fewer than 2 pairs.
        bootstrap: Interval by the widened bootstrap (``statistics.bootstrap``); unknown with fewer than 2 pairs.
        p: Two-sided p-value of the paired t-test; nan with fewer than 2 pairs, and where the differences are equal and
            not 0, which is no evidence of how they vary.
    """

    differences: Mapping[int, float]
    left_out: int
    mean: float
    t: Interval
    bootstrap: Interval
    p: float

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.differences)

    @property
    def differs(self) -> bool:
        """Whether both intervals exclude 0; false where there are none."""
        return self.t.known and not self.t.holds(0.0) and not self.bootstrap.holds(0.0)

    @property
    def varies(self) -> bool:
        """Whether the differences vary between seeds; else the intervals have no width and are no evidence."""
        return len(set(self.differences.values())) > 1


def paired_differences(ours: Values, theirs: Values) -> Paired:
    """Ours minus theirs over the common seeds."""
    common = sorted(ours.keys() & theirs.keys())
    pairs = {seed: (_finite(ours[seed]), _finite(theirs[seed])) for seed in common}
    known = {seed: (a, b) for seed, (a, b) in pairs.items() if a is not None and b is not None}
    found = {seed: difference for seed, (a, b) in known.items() if math.isfinite(difference := a - b)}
    scale = max((abs(value) for seed in found for value in known[seed]), default=0.0)
    return _paired(_without_rounding(found, scale), len(common) - len(found))


def paired_log_ratios(ours: Values, theirs: Values) -> Paired:
    """Logarithms of ours / theirs over the common seeds; values that are not above 0 are left out.

    Ratios are averaged as logarithms, so that the ratio of A to B is the inverse of that of B to A.
    """

    def logarithms(values: Values) -> dict[int, float | None]:
        return {seed: math.log(value) if value is not None and value > 0 else None for seed, value in values.items()}

    return paired_differences(logarithms(ours), logarithms(theirs))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _without_rounding(differences: Mapping[int, float], scale: float) -> dict[int, float]:
    """The differences, and where they are equal but for rounding, their mean."""
    if len(differences) > 1 and max(differences.values()) - min(differences.values()) <= _FLAT * scale:
        return dict.fromkeys(differences, statistics.fmean(differences.values()))
    return dict(differences)


def _paired(differences: dict[int, float], left_out: int) -> Paired:
    values = list(differences.values())
    if not values:
        return Paired(
            differences, left_out, math.nan, Interval(math.nan, math.nan), Interval(math.nan, math.nan), math.nan
        )
    mean, half = mean_interval(values)
    bootstrap = bootstrap_interval(np.array(values))
    return Paired(differences, left_out, mean, Interval(mean - half, mean + half), bootstrap, _p_value(values))


def _p_value(values: Sequence[float]) -> float:
    if len(values) < 2:
        return math.nan
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    if error == 0:
        return 1.0 if mean == 0 else math.nan
    return two_sided(mean / error, len(values) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of comparisons, adjusted by Holm's step-down rule; nan stays and is not counted.

    Holm's rule holds for any dependence, which arms compared with one baseline have, and rejects whatever Bonferroni's
    rejects. Simultaneous intervals (Dunnett) would need a common variance of all arms.

    Returns:
        Adjusted p-values in the order given: where one is at most 1 - level, the difference is claimed for all
        comparisons of the family together.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted
