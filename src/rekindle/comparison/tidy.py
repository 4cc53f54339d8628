"""The numbers of a comparison as CSV, a line per value or comparison; for spreadsheets and data frames.

A text that a spreadsheet would run as a formula gets an apostrophe before it; numbers are written as they are.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.measures import Measure, Row
from rekindle.comparison.notes import run_name
from rekindle.comparison.words import finding
from rekindle.observability.csv_text import Value, csv_lines
from rekindle.observability.formatting import excerpt
from rekindle.statistics.comparisons import Paired

__all__ = ["csv_text", "curves_csv"]

COLUMNS = (
    "line", "measure", "metric", "cost", "at", "arm", "baseline", "seed", "value", "censored", "pairs", "left_out",
    "comparison", "estimate", "t_low", "t_high", "bootstrap_low", "bootstrap_high", "p", "p_holm", "finding",
)  # fmt: skip
CURVE_COLUMNS = ("run", "arm", "seed", "metric", "value", *AXES)
_TEXT = 500
"""Most characters of a cell."""


def csv_text(comparison: Comparison) -> str:
    """A line per value of a run (``line`` is ``run``), and one per comparison with the baseline (``comparison``).

    ``estimate`` and its limits are differences, or for costs ratios. A value that is missing is empty.
    """
    return _written(COLUMNS, _lines(comparison))


def curves_csv(comparison: Comparison) -> str:
    """A line per evaluation of every run, with what was spent before it, for the metric that is compared."""
    return _written(CURVE_COLUMNS, _points(comparison))


def _lines(comparison: Comparison) -> Iterator[Mapping[str, Value]]:
    tables: Sequence[tuple[str, Mapping[str, Measure]]] = (
        ("at equal cost", comparison.equal),
        ("mean over the course", comparison.areas),
        ("cost of the target", comparison.costs),
        ("other measure at equal cost", comparison.further),
    )
    for name, measures in tables:
        for measure in measures.values():
            about: dict[str, Value] = {"measure": name, "metric": measure.key, "cost": measure.axis, "at": measure.at}
            for row in measure.rows:
                yield from _values(about, row, censors=measures is comparison.costs)
            yield from _comparisons(about, measure, comparison.baseline.name, ratios=measures is comparison.costs)


def _values(about: Mapping[str, Value], row: Row, *, censors: bool) -> Iterator[Mapping[str, Value]]:
    for seed, value in row.values.items():
        yield {
            "line": "run",
            **about,
            "arm": row.arm,
            "seed": seed,
            "value": value,
            "censored": int(value is None) if censors else None,
        }


def _comparisons(
    about: Mapping[str, Value], measure: Measure, base: str, *, ratios: bool
) -> Iterator[Mapping[str, Value]]:
    for row in measure.rows[1:]:
        found = finding(row, measure, *(("more", "less") if ratios else ()))
        head: dict[str, Value] = {"line": "comparison", **about, "arm": row.arm, "baseline": base, "finding": found}
        yield head | (_compared(row.paired, row.adjusted, ratios=ratios) if row.paired else {})


def _compared(paired: Paired, adjusted: float, *, ratios: bool) -> dict[str, Value]:
    t, bootstrap, mean = paired.t, paired.bootstrap, paired.mean
    if ratios:
        t, bootstrap, mean = t.exponential(), bootstrap.exponential(), math.exp(mean)
    return {
        "comparison": "ratio" if ratios else "difference",
        "pairs": paired.count,
        "left_out": paired.left_out,
        "estimate": mean,
        "t_low": t.low,
        "t_high": t.high,
        "bootstrap_low": bootstrap.low,
        "bootstrap_high": bootstrap.high,
        "p": paired.p,
        "p_holm": adjusted,
    }


def _points(comparison: Comparison) -> Iterator[Mapping[str, Value]]:
    for arm in comparison.arms:
        for run in arm.runs.values():
            about: dict[str, Value] = {
                "run": run_name(run),
                "arm": arm.name,
                "seed": run.seed,
                "metric": comparison.metric,
            }
            curves = run.curves.get(comparison.metric, {})
            values = next(iter(curves.values())).y if curves else ()
            for place, value in enumerate(values):
                yield {**about, "value": value, **{axis: curve.x[place] for axis, curve in curves.items()}}


def _written(columns: Sequence[str], lines: Iterator[Mapping[str, Value]]) -> str:
    return csv_lines(columns, ([_cut(line.get(column)) for column in columns] for line in lines))


def _cut(value: Value) -> Value:
    return excerpt(value, _TEXT) if isinstance(value, str) else value
