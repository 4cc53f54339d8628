"""The curves of a run as a matplotlib figure."""

import io
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekindle.observability.narrative import title
from rekindle.observability.rows import number
from rekindle.observability.summary import Summary
from rekindle.tasks.extras import require_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rekindle.observability.runs import Run

__all__ = ["figure_of"]

_OUTCOMES = {"all_correct": "#d9d5cd", "mixed": "#2b8078", "all_wrong": "#a19b91"}
"""Outcome -> colour, from the bottom of the stack."""


def figure_of(run: "Run") -> "Figure":
    """Three plots over the steps: accuracy sampled and greedy, reward, and groups by outcome.

    The figure belongs to no window and no list of open figures; ``savefig`` writes it without a display.

    Raises:
        UserError: matplotlib is not installed.
    """
    require_extra("matplotlib", "plot", "Run.plot()")
    plain = import_module("matplotlib.figure").Figure
    # Notebooks show figures of pyplot; this one shows itself.
    figure: Figure = type("RunFigure", (plain,), {"_repr_png_": _png})(figsize=(11, 3.2), layout="constrained")
    # Text of configurations is not TeX.
    figure.suptitle(title(Summary(run)), parse_math=False)
    accuracy, reward, groups = figure.subplots(1, 3)
    _lines(accuracy, run.metrics, {"eval/accuracy": "sampled", "eval/greedy": "greedy"}, "held-out accuracy")
    _lines(reward, run.metrics, {"reward/mean": "mean"}, "reward")
    _outcomes(groups, run.metrics)
    return figure


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _lines(axes: "Axes", rows: Sequence[dict[str, Any]], names: dict[str, str], heading: str) -> None:
    for key, name in names.items():
        points = [(row["step"], value) for row in rows if (value := number(row, key)) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker="o" if len(points) < 40 else None, markersize=3)
    if len(axes.lines) > 1:
        axes.legend(frameon=False)
    axes.set_title(heading)
    axes.set_xlabel("step")


def _outcomes(axes: "Axes", rows: Sequence[dict[str, Any]]) -> None:
    """Shares of the groups by outcome, stacked; failed groups have none."""
    counted = [(row["step"], [number(row, f"groups/{name}") or 0.0 for name in _OUTCOMES]) for row in rows]
    counted = [(step, counts) for step, counts in counted if sum(counts)]
    if counted:
        shares = [[count / sum(counts) for count in counts] for _, counts in counted]
        labels = [name.replace("_", " ") for name in _OUTCOMES]
        axes.stackplot([step for step, _ in counted], *zip(*shares, strict=True), colors=list(_OUTCOMES.values()),
                       labels=labels)  # fmt: skip
        axes.legend(loc="upper left", fontsize="small")
    axes.set_ylim(0, 1)
    axes.set_title("groups by outcome")
    axes.set_xlabel("step")
