"""Statistics in words: a difference, a ratio, and a cell of a table.

An interval with no difference in it is called "no difference seen": it is no evidence that there is none.
"""

import math
import statistics
from collections.abc import Sequence

from rekindle.statistics.comparisons import paired_differences, paired_log_ratios

__all__ = ["NO_DIFFERENCE", "cell", "difference", "paired", "ratio"]

NO_DIFFERENCE = "no difference seen"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Ours minus theirs, paired by place, with the t-interval."""
    found = paired_differences(_by_place(ours), _by_place(theirs))
    return difference(found.mean, (found.t.high - found.t.low) / 2)


def difference(mean: float, half: float, form: str = "+.3f") -> str:
    """A difference and the half width of its interval; nan: of a single seed."""
    if math.isnan(half):
        return f"{mean:{form}} (one seed)"
    text = f"{mean:{form}} ± {half:{form.removeprefix('+')}}"
    return f"{NO_DIFFERENCE} ({text})" if abs(mean) <= half else text


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Geometric mean of ours / theirs, paired by place, with the t-interval; all values are above 0."""
    found = paired_log_ratios(_by_place(ours), _by_place(theirs))
    limits = found.t.exponential()
    if not found.t.known:
        return f"x {math.exp(found.mean):.2f} (one seed)"
    text = f"x {math.exp(found.mean):.2f} ({limits.low:.2f} to {limits.high:.2f})"
    return f"{NO_DIFFERENCE}: {text}" if found.t.holds(0.0) else text


def _by_place(values: Sequence[float]) -> dict[int, float | None]:
    return dict(enumerate(values))


def cell(values: Sequence[float], form: str) -> str:
    """Mean and standard deviation; the mean alone where values do not vary."""
    mean = format(statistics.fmean(values), form)
    varies = len(values) > 1 and max(values) > min(values)
    return f"{mean} ± {format(statistics.stdev(values), form)}" if varies else mean
