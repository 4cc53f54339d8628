"""Small SVG charts without scripts, legible in light and dark mode, from a phone's width to a printed page.

Charts are stretched, texts are not: horizontal positions are percentages of the chart's width, vertical ones pixels.
Curves are in a nested drawing 1000 units wide, stretched with constant stroke width. Colours are names of CSS classes
(``"fresh"`` -> ``c-fresh``) whose ``--c`` the page's style sheet defines. Hovering over a column shows its numbers
(``title``).

Every text is escaped here.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise

from rekindle.observability.canvas import WIDTH, Format, Scale, frame, hover, plot, stretched, x_axis, y_axis
from rekindle.observability.formatting import compact, ticks

__all__ = ["Bar", "Layer", "MapRow", "Series", "horizontal_bars", "line_chart", "outcome_map", "stacked_columns"]

_HOVER_COLUMNS = 120
_ROW_HEIGHT = 6
_FEW_ROWS = 10
"""Rows of a map up to which they are twice as high."""
_FEWEST_COLUMNS = 8
"""Columns that a map has room for, also where it has fewer."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        name: For the hover text.
        x: [N] ascending.
        y: [N] None leaves a gap in the line.
        color: Colour class.
        markers: Draw a dot at every point.
        dashed: Dash the line.
        band: Lower and upper limits, [N] each, filled behind the line; None for no band.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    color: str
    markers: bool = False
    dashed: bool = False
    band: tuple[Sequence[float], Sequence[float]] | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of stacked columns: ``values`` [N] at least 0."""

    name: str
    values: Sequence[float]
    color: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One horizontal bar. ``text`` is at its right end, e.g. ``"12,480 · 28%"``."""

    name: str
    value: float
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class MapRow:
    """One row of a map: a colour class per cell, and the text that hovering shows."""

    text: str
    colors: Sequence[str]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str,
    y_limits: tuple[float, float] | None = None,
    x_format: Format = compact,
    y_format: Format = compact,
    height: int = 210,
) -> str:
    """Lines over a common x axis; empty series give empty axes.

    Args:
        series: The lines, from back to front.
        title: For assistive technology, not drawn.
        description: The chart's message in a sentence, not drawn.
        x_label: Under the axis.
        y_limits: Limits of the y axis; by default it begins at 0 and ends above the largest value.
        x_format: Writes x values.
        y_format: Writes y values.
        height: Of the plot in pixels, without the labels below.
    """
    xs = [x for line in series for x in line.x] or [0.0]
    ys = [y for line in series for y in _heights(line)]
    x_low, x_high = _widened(min(xs), max(xs))
    scale = Scale(x_low, x_high, *(y_limits or _widened(min([0.0, *ys]), _headroom(ys))), height)
    marks = [x_axis([(scale.x(x), x_format(x)) for x in ticks(x_low, x_high)], x_label, height)]
    marks.append(y_axis(scale, y_format))
    marks.append(stretched("".join(_band(line, scale) + _line(line, scale) for line in series), height))
    marks.extend(_dots(line, scale) for line in series)
    marks.append(_hover_points(series, scale, x_format, y_format))
    return plot(title, description, "".join(marks), height)


def stacked_columns(
    layers: Sequence[Layer],
    edges: Sequence[float],
    *,
    title: str,
    description: str,
    x_label: str,
    y_format: Format = compact,
    height: int = 240,
) -> str:
    """Columns without gaps, each a stack of the layers, the first at the bottom.

    Args:
        layers: [N] values each.
        edges: [N + 1] edges of the columns, ascending whole numbers; a column includes its first edge.
        title: For assistive technology, not drawn.
        description: The chart's message in a sentence, not drawn.
        x_label: Under the axis.
        y_format: Writes values.
        height: Of the plot in pixels.
    """
    columns = len(edges) - 1
    totals = [sum(layer.values[index] for layer in layers) for index in range(columns)]
    scale = Scale(edges[0], max(edges[-1], edges[0] + 1), 0.0, max([1e-9, *totals]), height)
    places = [x for x in ticks(edges[0], edges[-1] - 1) if x == int(x)]
    # A step's label is in the middle of its column.
    marks = [x_axis([(scale.x(x + 0.5), compact(x)) for x in places], x_label, height)]
    base = [0.0] * columns
    areas = []
    for layer in layers:
        top = [low + value for low, value in zip(base, layer.values, strict=True)]
        if any(layer.values):
            areas.append(f'<path class="area c-{layer.color}" d="{_steps(base, top, edges, scale)}"/>')
        base = top
    marks += [y_axis(scale, y_format), stretched("".join(areas), height)]
    for index in range(columns):
        names = [f"{layer.name}: {y_format(layer.values[index])}" for layer in reversed(layers) if layer.values[index]]
        first, last = edges[index], edges[index + 1] - 1
        head = f"{x_label} {compact(first)}" + (f" to {compact(last)}" if last > first else "")
        marks.append(hover(scale.x(first), scale.x(edges[index + 1]), "\n".join([head, *names]), height))
    return plot(title, description, "".join(marks), height)


def horizontal_bars(bars: Sequence[Bar], *, whole: float, title: str, description: str) -> str:
    """One bar per row, with name and text above it. A bar over the full width stands for ``whole`` (more than 0)."""
    rows = []
    for index, bar in enumerate(bars):
        top = index * 38
        rows.append(f'<text x="0" y="{top + 13}">{escape(bar.name)}</text>')
        rows.append(f'<text class="value" x="100%" y="{top + 13}" text-anchor="end">{escape(bar.text)}</text>')
        rows.append(f'<rect class="track" x="0" y="{top + 20}" width="100%" height="8" rx="2"/>')
        if bar.value > 0:
            width = max(0.4, 100 * bar.value / whole)
            rows.append(f'<rect class="bar c-{bar.color}" y="{top + 20}" width="{width:.2f}%" height="8" rx="2"/>')
    size = max(1, len(bars) * 38 - 6)
    return frame("bars", title, description, "".join(rows), size)


def outcome_map(rows: Sequence[MapRow], columns: int, *, title: str, description: str) -> str:
    """Rows of coloured cells without axes; equal neighbours are one rectangle.

    Args:
        rows: At most ``columns`` cells each, aligned at the left.
        columns: Cells of the whole width.
        title: For assistive technology, not drawn.
        description: The map's message in a sentence, not drawn.
    """
    tall = _ROW_HEIGHT if len(rows) > _FEW_ROWS else 2 * _ROW_HEIGHT
    paths: dict[str, list[str]] = {}
    # Wide cells of a few visits would look like bars.
    width = min(WIDTH / columns, WIDTH / _FEWEST_COLUMNS)
    for index, row in enumerate(rows):
        place = 0
        for color, run in groupby(row.colors):
            length = len(list(run))
            box = f"M{place * width:.1f} {index * tall}h{length * width:.1f}v{tall - 1}h-{length * width:.1f}z"
            paths.setdefault(color, []).append(box)
            place += length
    height = len(rows) * tall
    areas = "".join(f'<path class="area c-{color}" d="{"".join(boxes)}"/>' for color, boxes in paths.items())
    marks = [stretched(areas, height)]
    places = [f"{place * width / WIDTH:.2%}" for place in range(1, columns + 1)]
    marks += [f'<line x1="{place}" x2="{place}" y2="{height}"/>' for place in places]
    for index, row in enumerate(rows):
        text = f"<title>{escape(row.text)}</title>"
        marks.append(f'<rect class="hover" y="{index * tall}" width="100%" height="{tall}">{text}</rect>')
    return frame("map", title, description, "".join(marks), height)


def _heights(line: Series) -> list[float]:
    values = [y for y in line.y if y is not None]
    return values + [edge for edges in line.band or () for edge in edges]


def _headroom(values: Sequence[float]) -> float:
    return min(max([0.0, *values]) * 1.08, sys.float_info.max)


def _widened(low: float, high: float) -> tuple[float, float]:
    """The same limits, or where they are equal two finite ones that are not."""
    if low < high:
        return low, high
    above = max(low + 1.0, math.nextafter(low, math.inf))
    return (low, above) if math.isfinite(above) else (math.nextafter(low, 0.0), low)


def _point(x: float, y: float, scale: Scale) -> str:
    return f"{scale.x(x) * WIDTH:.1f} {scale.y(y):.1f}"


def _line(line: Series, scale: Scale) -> str:
    # A stroke of length 0 ("h0") with round caps shows a point without neighbours.
    commands, pen_down = [], False
    for x, y in zip(line.x, line.y, strict=True):
        if y is not None:
            commands.append(f"L{_point(x, y, scale)}" if pen_down else f"M{_point(x, y, scale)}h0")
        pen_down = y is not None
    dash = " dashed" if line.dashed else ""
    return f'<path class="line{dash} c-{line.color}" d="{"".join(commands)}"/>' if commands else ""


def _band(line: Series, scale: Scale) -> str:
    if line.band is None or len(line.x) < 2:
        return ""
    low, high = line.band
    upper = [_point(x, y, scale) for x, y in zip(line.x, high, strict=True)]
    lower = [_point(x, y, scale) for x, y in zip(line.x, low, strict=True)]
    return f'<path class="band c-{line.color}" d="M{"L".join(upper + lower[::-1])}Z"/>'


def _dots(line: Series, scale: Scale) -> str:
    if not line.markers:
        return ""
    places = [(scale.x(x), scale.y(y)) for x, y in zip(line.x, line.y, strict=True) if y is not None]
    dots = "".join(f'<circle cx="{x:.2%}" cy="{y:.1f}" r="3"/>' for x, y in places)
    return f'<g class="dots c-{line.color}">{dots}</g>'


def _steps(low: Sequence[float], high: Sequence[float], edges: Sequence[float], scale: Scale) -> str:
    """The outline between two step functions."""
    xs = [x for left, right in pairwise(edges) for x in (left, right)]
    top = [_point(x, high[index // 2], scale) for index, x in enumerate(xs)]
    bottom = [_point(x, low[index // 2], scale) for index, x in enumerate(xs)]
    return f"M{'L'.join(top + bottom[::-1])}Z"


def _hover_points(series: Sequence[Series], scale: Scale, x_format: Format, y_format: Format) -> str:
    """A column around each x, or around some of them where there are many."""
    texts: dict[float, list[str]] = {}
    for line in series:
        for x, y in zip(line.x, line.y, strict=True):
            if y is not None:
                texts.setdefault(x, [x_format(x)]).append(f"{line.name}: {y_format(y)}")
    xs = sorted(texts)
    xs = xs[:: -(-len(xs) // _HOVER_COLUMNS)] if xs else []
    middles = [scale.x((a + b) / 2) for a, b in pairwise(xs)]
    columns = zip(xs, [0.0, *middles], [*middles, 1.0], strict=False)
    return "".join(hover(left, right, "\n".join(texts[x]), int(scale.height)) for x, left, right in columns)
