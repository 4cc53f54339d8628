"""The main curves as a figure of their own: SVG with the report's style, and PDF through matplotlib."""

from importlib import import_module
from io import BytesIO

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.drawing import DRAWN, ArmCurve, arm_curves, arm_series, standalone
from rekindle.comparison.story import title
from rekindle.comparison.words import metric_name
from rekindle.observability.svg import line_chart
from rekindle.tasks.extras import require_extra
from rekindle.types import UserError

__all__ = ["pdf_figure", "svg_figure"]

COLORS = ("#7d8794", "#c2491d", "#1f7a72", "#3f5da8", "#b8860b", "#7f4a94", "#b03a4a", "#5f7a1f", "#24211d", "#a0674b",
          "#4a90a4", "#c75c9b")  # fmt: skip
"""One per arm; the baseline is grey."""
_PER_ROW = 4


def svg_figure(comparison: Comparison) -> str:
    """The curves over the main cost, as an SVG file.

    Raises:
        UserError: No run has an evaluation.
    """
    curves, axis, name = _curves(comparison), AXES[comparison.axis], metric_name(comparison.metric)
    chart = line_chart(
        arm_series(curves, [f"arm{place}" for place in range(len(curves))]),
        title=f"{name} by {axis.name}",
        description=f"{title(comparison)}: mean over the seeds, with their range",
        x_label=f"{name} by {axis.name}",
        y_limits=_limits(curves),
    )
    legend = [(curve.name, color) for curve, color in zip(curves, COLORS, strict=False)]
    return standalone(chart, legend, -(-len(legend) // _PER_ROW))


def pdf_figure(comparison: Comparison) -> bytes:
    """The same as a PDF file; needs matplotlib (``rekindle[plot]``).

    Raises:
        UserError: No run has an evaluation, or matplotlib is not installed.
    """
    require_extra("matplotlib", "plot", "a figure in PDF")
    curves, axis = _curves(comparison), AXES[comparison.axis]
    figure = import_module("matplotlib.figure").Figure(figsize=(6.4, 3.6), layout="constrained")
    plot = figure.subplots()
    for curve, color in zip(curves, COLORS, strict=False):
        plot.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        # A name that begins with "_" would be left out of the legend, and text of configurations is not TeX.
        plot.plot(curve.x, curve.mean, color=color, label=curve.name.replace("$", r"\$").lstrip("_") or "arm")
    plot.set_xlabel(axis.name)
    plot.set_ylabel(metric_name(comparison.metric).replace("$", r"\$"))
    if limits := _limits(curves):
        plot.set_ylim(*limits)
    plot.grid(visible=True, color="#ece8df")
    plot.legend(frameon=False, fontsize="small")
    content = BytesIO()
    figure.savefig(content, format="pdf", metadata={"CreationDate": None})
    return content.getvalue()


def _curves(comparison: Comparison) -> list[ArmCurve]:
    curves = arm_curves(comparison, comparison.axis)[:DRAWN]
    if not curves:
        raise UserError(
            f"no run has a value of {comparison.metric}, so there is no curve to draw; choose another --metric, or "
            "leave the figure out"
        )
    return curves


def _limits(curves: list[ArmCurve]) -> tuple[float, float] | None:
    """0 to 1 for what lies between; None: what fits."""
    values = [value for curve in curves for value in (*curve.low, *curve.high)]
    return (0.0, 1.0) if min(values) >= 0 and max(values) <= 1 else None
