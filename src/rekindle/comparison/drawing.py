"""Curves of arms: the mean over the seeds, with the range of the seeds as a band."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rekindle.comparison.comparing import Comparison
from rekindle.comparison.curves import Curve
from rekindle.observability.svg import Series

__all__ = ["DRAWN", "ArmCurve", "arm_curves", "arm_series", "on_one_grid", "standalone"]

DRAWN = 12
"""Most arms in a figure."""
_POINTS = 200
"""Most points of a line."""


@dataclass(frozen=True, slots=True)
class ArmCurve:
    """Curve of an arm.

    Attributes:
        name: The arm.
        x: [N] cost.
        mean: [N] mean over the seeds.
        low: [N] smallest value of a seed.
        high: [N] largest value of a seed.
    """

    name: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def arm_curves(comparison: Comparison, axis: str) -> list[ArmCurve]:
    """The curve of every arm that has evaluations, over the costs that all of its seeds reach."""
    found = []
    for arm in comparison.arms:
        curves = [run.curves.get(comparison.metric, {}).get(axis, Curve([], [])) for run in arm.runs.values()]
        curves = [curve for curve in curves if curve.x]
        x, heights = on_one_grid(curves) if curves else ([], np.zeros((1, 0)))
        if x:
            places = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
            chosen = heights[:, places]
            means, lows, highs = (part.tolist() for part in (chosen.mean(0), chosen.min(0), chosen.max(0)))
            found.append(ArmCurve(arm.name, [x[place] for place in places], means, lows, highs))
    return found


def on_one_grid(curves: Sequence[Curve]) -> tuple[list[float], NDArray[np.float64]]:
    """[N] x values of the first curve that all curves reach, and [seeds, N] interpolated values there.

    Args:
        curves: At least one; each has a point.
    """
    begin, end = max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
    x = [place for place in curves[0].x if begin <= place <= end]
    return x, np.array([np.interp(x, curve.x, curve.y) for curve in curves])


def arm_series(curves: Sequence[ArmCurve], colors: Sequence[str], markers: int = 0) -> list[Series]:
    """Lines of a chart, the first in front; where colours repeat, lines are dashed.

    Args:
        curves: In the order of the arms.
        colors: Colour classes.
        markers: Most points of a line that are shown as dots.
    """
    lines = [
        Series(
            curve.name,
            curve.x,
            list(curve.mean),
            colors[place % len(colors)],
            markers=len(curve.x) <= markers,
            dashed=place >= len(colors),
            band=(curve.low, curve.high),
        )
        for place, curve in enumerate(curves)
    ]
    return lines[::-1]


def standalone(plot: str, legend: Sequence[tuple[str, str]], rows: int = 1) -> str:
    """A plot as a file of its own, with the style of the report.

    Args:
        plot: A chart whose lines have the colour classes ``arm0``, ``arm1``, ...
        legend: Name and colour of each.
        rows: Rows of the legend; names are evenly spread over them.
    """
    css = files("rekindle.observability").joinpath("report.css").read_text(encoding="utf-8")
    rules = "".join(line for line in css.splitlines() if line.startswith("svg ") and ":hover" not in line)
    colors = "".join(f".c-arm{index} {{ --c: {color}; }}" for index, (_, color) in enumerate(legend))
    per_row = -(-len(legend) // rows)
    step = min(170, 690 // max(1, per_row))
    names = "".join(
        f'<text x="{60 + step * (index % per_row)}" y="{20 + 18 * (index // per_row)}" '
        f'style="fill: {color}; font-weight: 600">{escape(name)}</text>'
        for index, (name, color) in enumerate(legend)
    )
    height = 310 + 18 * (rows - 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" viewBox="0 0 760 {height}" '
        'style="--ink: #24211d; --soft: #6b655c; --grid: #ece8df; font-family: system-ui, sans-serif">'
        f'<style>{rules}{colors}</style><rect width="760" height="{height}" fill="#fff"/>{names}'
        f'<svg x="52" y="{40 + 18 * (rows - 1)}" width="690" height="260" overflow="visible">{plot}</svg></svg>\n'
    )
