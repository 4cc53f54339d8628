"""Lines of a chart from the step log. Long runs are averaged to the page's resolution."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rekindle.observability.csv_text import csv_text
from rekindle.observability.formatting import compact
from rekindle.observability.rows import LEVELS_SHOWN, averages, buckets, number, shown_levels
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Series

__all__ = [
    "PARTS",
    "POINTS",
    "ROWS",
    "Counted",
    "averaged_note",
    "csv_of",
    "ends",
    "level_colors",
    "metric_columns",
    "metric_series",
    "ratio_series",
]

POINTS = 200
"""Most points of a line."""

ROWS = 1000
"""Most rows of a curve's numbers as CSV; a longer run is averaged to as many."""

PARTS = 30
"""Most points of a ratio, where a single step has few groups or rollouts."""

Counted = Callable[[Mapping[str, Any]], tuple[float, float]]
"""Row of the step log -> (part, whole)."""


def metric_series(summary: Summary, key: str, name: str, color: str, *, dashed: bool = False) -> Series | None:
    """A metric over the steps; None where no step has a value."""
    rows = [row for row in summary.run.metrics if key in row]
    values = [number(row, key) for row in rows]
    if all(value is None for value in values):
        return None
    steps = [float(rows[place.stop - 1]["step"]) for place in buckets(len(rows), POINTS)]
    return Series(name, steps, averages(values, POINTS), color, dashed=dashed)


def metric_columns(summary: Summary, names: Mapping[str, str]) -> str:
    """Metrics over the steps as CSV: a row per step, or the means of several steps of a long run.

    Args:
        summary: The run.
        names: Key of the step log -> name of the column.
    """
    rows = [row for row in summary.run.metrics if any(key in row for key in names)]
    steps = [float(rows[place.stop - 1]["step"]) for place in buckets(len(rows), ROWS)]
    columns = {name: averages([number(row, key) for row in rows], ROWS) for key, name in names.items()}
    return csv_text({"step" if len(rows) <= ROWS else "last step of the mean": steps, **columns})


def csv_of(lines: Sequence[Series], x_name: str) -> str:
    """The points of lines over a common axis as CSV, with the limits of their bands."""
    xs = sorted({x for line in lines for x in line.x})
    columns: dict[str, Sequence[float | None]] = {x_name: xs}
    for line in lines:
        values = {line.name: line.y}
        if line.band:
            values |= {f"{line.name}, lower limit": line.band[0], f"{line.name}, upper limit": line.band[1]}
        for name, ys in values.items():
            known = dict(zip(line.x, ys, strict=True))
            columns[name] = [known.get(x) for x in xs]
    return csv_text(columns)


def ratio_series(rows: Sequence[Mapping[str, Any]], counted: Counted, name: str, color: str) -> Series:
    """Part / whole, both summed over each bucket of steps, so that steps are weighted by their whole."""
    steps, values = list[float](), list[float | None]()
    for place in buckets(len(rows), PARTS):
        part, whole = (sum(counts) for counts in zip(*map(counted, rows[place]), strict=True))
        steps.append(float(rows[place.stop - 1]["step"]))
        values.append(part / whole if whole else None)
    return Series(name, steps, values, color)


def averaged_note(rows: Sequence[object]) -> str:
    """Note on the steps averaged in a point of ``ratio_series``; empty for a single step."""
    steps = next(buckets(len(rows), PARTS)).stop
    return f"Each point is the mean of {steps} steps." if steps > 1 else ""


def level_colors(found: Sequence[Mapping[int, float]]) -> dict[int, str]:
    """Levels to draw and their colours: the first for the easiest, the last for the hardest."""
    levels = shown_levels(level for by_level in found for level in by_level)
    colors = np.linspace(1, LEVELS_SHOWN, len(levels))
    return {level: f"level_{round(color)}" for level, color in zip(levels, colors, strict=True)}


def ends(values: Sequence[float | None], form: Callable[[float], str] = compact) -> str:
    """First and last known value of a line, in words."""
    known = [value for value in values if value is not None]
    if not known:
        return "not measured"
    return f"{form(known[0])} at the start, {form(known[-1])} at the end"
