"""Numbers and findings of a comparison in words."""

import math
import statistics
from collections.abc import Callable, Sequence

from rekindle.comparison.measures import Measure, Row
from rekindle.observability.formatting import counted, excerpt
from rekindle.statistics.comparisons import Paired
from rekindle.statistics.intervals import LEVEL, Interval
from rekindle.statistics.words import NO_DIFFERENCE

__all__ = [
    "capital",
    "finding",
    "limits",
    "listed",
    "measured",
    "metric_name",
    "p_value",
    "plus_minus",
    "times",
    "with_interval",
]

_NAMES = {
    "eval/accuracy": "accuracy",
    "eval/greedy": "greedy accuracy",
    "eval/reward": "reward",
    "eval/greedy_reward": "greedy reward",
}
_KEY = 60
"""Most characters of a key."""
_AUDITS = {"eval/audit/": "{} (audit)", "eval/greedy_audit/": "{} (audit, greedy)"}


def metric_name(key: str) -> str:
    """``"accuracy"`` for ``eval/accuracy``, ``"strict (audit)"`` for ``eval/audit/strict``; else the key, cut."""
    for prefix, form in _AUDITS.items():
        if key.startswith(prefix):
            return form.format(excerpt(key.removeprefix(prefix), _KEY))
    return _NAMES.get(key, excerpt(key, _KEY))


def capital(text: str) -> str:
    """The text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[object]) -> str:
    """``"a, b and c"``."""
    texts = [str(name) for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def measured(row: Row, form: Callable[[float], str]) -> str:
    """Mean and standard deviation over the seeds; a count where some seeds have no value."""
    if not row.known:
        return "–"
    mean = form(statistics.fmean(row.known))
    if len(row.known) < 2 or max(row.known) == min(row.known):
        return mean
    return f"{mean} ± {form(statistics.stdev(row.known))}"


def plus_minus(value: float) -> str:
    """A difference: ``+0.034``."""
    return f"{value:+.3f}"


def times(logarithm: float) -> str:
    """A ratio of its logarithm: ``0.82``."""
    return f"{math.exp(min(logarithm, 700.0)):.3g}"


def limits(interval: Interval, form: Callable[[float], str]) -> str:
    """``+0.010 to +0.058``; a dash where there is no interval."""
    return f"{form(interval.low)} to {form(interval.high)}" if interval.known else "–"


def with_interval(paired: Paired | None, form: Callable[[float], str]) -> str:
    """A mean with its t-interval: ``+0.034 (+0.010 to +0.058)``; a dash where nothing was compared."""
    if paired is None or not paired.count:
        return "–"
    mean = form(paired.mean)
    return f"{mean} ({limits(paired.t, form)})" if paired.t.known else mean


def p_value(value: float) -> str:
    """``0.012``, ``<0.001``; a dash for nan."""
    return "–" if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def finding(row: Row, measure: Measure, more: str = "higher", less: str = "lower") -> str:
    """What a row says, in one word or a few.

    Args:
        row: A row of the measure.
        measure: The measure.
        more: Word for an estimate above that of no difference.
        less: Word for one below.
    """
    paired = row.paired
    if paired is None:
        return _not_compared(row, measure)
    if not paired.t.known:
        return "one seed: no interval" if paired.count else "no common seed with a value"
    if not paired.differs:
        return NO_DIFFERENCE
    side = more if paired.mean > 0 else less
    if not paired.varies:
        return f"{side}, equal in all seeds"
    return f"{NO_DIFFERENCE} (corrected)" if row.adjusted > 1 - LEVEL else side


def _not_compared(row: Row, measure: Measure) -> str:
    base = measure.rows[0]
    if row.is_censored:
        role = "baseline, " if row is base else ""
        return f"{role}reached by {len(row.known)} of {counted(len(row.values), 'seed')}"
    return "baseline" if row is base else "not compared: some seeds of the baseline did not reach it"
