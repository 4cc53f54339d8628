"""Tables of measures: every arm with both intervals, and many measures side by side."""

from collections.abc import Callable, Mapping, Sequence

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.document import Table
from rekindle.comparison.measures import Measure, Row
from rekindle.comparison.words import (
    finding,
    limits,
    measured,
    metric_name,
    p_value,
    plus_minus,
    times,
    with_interval,
)
from rekindle.statistics.words import NO_DIFFERENCE

__all__ = ["cost_table", "differences", "equal_table", "ratios", "three_decimals"]

_LAST = ("bootstrap", "p (Holm)", "finding")
_SPENT = ("more", "less")

Cell = Callable[[Row, Measure], str]


def three_decimals(value: float) -> str:
    """An accuracy or a reward in a table."""
    return f"{value:.3f}"


def equal_table(comparison: Comparison, axis: str) -> Table:
    """The metric of every arm at an equal cost."""
    measure, base = comparison.equal[axis], comparison.baseline.name
    heads = ("arm", "seeds", metric_name(comparison.metric), f"difference to {base}, 95 % t-interval", *_LAST)
    rows = [_row(row, three_decimals, plus_minus, finding(row, measure)) for row in measure.rows]
    return Table(f"At {AXES[axis].amount(measure.at)}", heads, rows)


def cost_table(comparison: Comparison, axis: str) -> Table:
    """What every arm spent until the target."""
    measure, kind, base = comparison.costs[axis], AXES[axis], comparison.baseline.name
    heads = ("arm", "seeds", kind.name, f"ratio to {base}, 95 % t-interval", *_LAST)
    rows = [_row(row, kind.form, times, finding(row, measure, *_SPENT)) for row in measure.rows]
    return Table(f"In {kind.name}", heads, rows)


def _row(row: Row, form: Callable[[float], str], change: Callable[[float], str], found: str) -> tuple[str, ...]:
    """Cells of an arm; ``form`` writes a value of it, and ``change`` a comparison."""
    bootstrap = limits(row.paired.bootstrap, change) if row.paired else "–"
    first = (row.arm, str(len(row.known)), measured(row, form), with_interval(row.paired, change))
    return (*first, bootstrap, p_value(row.adjusted), found)


def differences(comparison: Comparison, measures: Mapping[str, Measure], heads: Sequence[str]) -> Table:
    """Differences to the baseline: a row per measure, a column per other arm."""
    return _matrix(f"Difference to {comparison.baseline.name}", comparison, measures, heads, _difference)


def ratios(comparison: Comparison, measures: Mapping[str, Measure], heads: Sequence[str]) -> Table:
    """Ratios to the baseline: a row per measure, a column per other arm."""
    return _matrix(f"Ratio to {comparison.baseline.name}", comparison, measures, heads, _ratio)


def _matrix(
    name: str, comparison: Comparison, measures: Mapping[str, Measure], heads: Sequence[str], cell: Cell
) -> Table:
    rows = [
        (head, *(cell(row, measure) for row in measure.rows[1:]))
        for head, measure in zip(heads, measures.values(), strict=True)
    ]
    return Table(name, ("", *(arm.name for arm in comparison.arms[1:])), rows)


def _difference(row: Row, measure: Measure) -> str:
    return _with_finding(row, finding(row, measure), plus_minus)


def _ratio(row: Row, measure: Measure) -> str:
    return _with_finding(row, finding(row, measure, *_SPENT), times)


def _with_finding(row: Row, found: str, form: Callable[[float], str]) -> str:
    """The estimate with its interval, and the finding where it is not plain from them."""
    if row.paired is None or not row.paired.count:
        return found
    if not row.paired.t.known or not row.paired.varies:
        return f"{form(row.paired.mean)} ({found})"
    text = with_interval(row.paired, form)
    return f"{NO_DIFFERENCE}: {text}" if found.startswith(NO_DIFFERENCE) else text
