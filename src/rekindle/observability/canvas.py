"""Building blocks of charts: scale, axes, hover columns and frame. Every text is escaped here."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from rekindle.observability.formatting import ticks

__all__ = ["WIDTH", "Format", "Scale", "frame", "hover", "plot", "stretched", "x_axis", "y_axis"]

Format = Callable[[float], str]

WIDTH = 1000.0
"""Width of a stretched drawing in its own units."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps data to the drawing: x to 0..1 of the width, y to pixels from the top."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    height: float

    def x(self, value: float) -> float:
        """0 at the left, 1 at the right."""
        return _share(value, self.x_low, self.x_high)

    def y(self, value: float) -> float:
        """Pixels, 0 at the top."""
        return self.height * (1 - _share(value, self.y_low, self.y_high))


def x_axis(labels: Sequence[tuple[float, str]], name: str, height: int) -> str:
    """An axis with a tick text per (place in 0..1, text), and its name below."""
    texts = []
    for place, text in labels:
        # Texts at the ends are aligned inwards, so that a narrow page does not cut them off.
        anchor = "start" if place < 0.02 else "end" if place > 0.98 else "middle"
        texts.append(f'<text x="{place:.2%}" y="{height + 18}" text-anchor="{anchor}">{escape(text)}</text>')
    texts.append(f'<text class="name" x="50%" y="{height + 38}" text-anchor="middle">{escape(name)}</text>')
    return "".join(texts)


def y_axis(scale: Scale, form: Format) -> str:
    """Tick texts left of the plot, each with a line across the plot."""
    marks = []
    for value in ticks(scale.y_low, scale.y_high):
        y = round(scale.y(value), 1)
        marks.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        marks.append(f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{escape(form(value))}</text>')
    return "".join(marks)


def hover(left: float, right: float, text: str, height: int) -> str:
    """An invisible column from ``left`` to ``right`` (0..1) that shows ``text`` on hover."""
    place = f'x="{left:.2%}" width="{max(0.0, right - left):.2%}" height="{height}"'
    return f'<rect class="hover" {place}><title>{escape(text)}</title></rect>'


def stretched(content: str, height: int) -> str:
    """Content ``WIDTH`` units wide, stretched to the chart's width."""
    box = f'width="100%" height="{height}" viewBox="0 0 {WIDTH:.0f} {height}" preserveAspectRatio="none"'
    return f"<svg {box}>{content}</svg>"


def plot(title: str, description: str, content: str, height: int) -> str:
    """A frame whose content is a plot of ``height`` pixels with axes around it."""
    return frame("plot", title, description, content, height + 42)


def frame(kind: str, title: str, description: str, content: str, height: int) -> str:
    """The outermost element, with a name and a description for assistive technology."""
    words = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return f'<svg class="{kind}" role="img" width="100%" height="{height}">{words}{content}</svg>'


def _share(value: float, low: float, high: float) -> float:
    """How far ``value`` is on the way from ``low`` to ``high``, even where their distance is no float."""
    if math.isinf(high - low):
        value, low, high = value / 2, low / 2, high / 2
    return (value - low) / (high - low)
