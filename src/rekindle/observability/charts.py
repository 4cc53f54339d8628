"""Figures of the report: curves and columns of a run. Long runs are thinned or averaged to the page's resolution."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rekindle.observability import page
from rekindle.observability.csv_text import csv_text
from rekindle.observability.curves import (
    POINTS,
    ROWS,
    Counted,
    averaged_note,
    csv_of,
    ends,
    level_colors,
    metric_columns,
    metric_series,
    ratio_series,
)
from rekindle.observability.formatting import percent, rate
from rekindle.observability.rows import buckets, by_level, number, solver_rollouts
from rekindle.observability.shares import Share
from rekindle.observability.summary import LOST, TRAINED, EvaluationPoint, Summary
from rekindle.observability.svg import Layer, Series, line_chart, stacked_columns

__all__ = [
    "accuracy_figure",
    "batch_figure",
    "composition_figure",
    "level_accuracy_figure",
    "level_signal_figure",
    "live_figure",
    "metric_figure",
    "search_figure",
]

_COLUMNS = 100
"""Most columns of a chart."""

_DOTTED = 40
"""Most points of a line that are shown as dots."""

_NAMES = {
    "fresh": "trained, fresh",
    "returned": "trained, returned",
    "rescued_hard": "trained, never solved at first",
    "rescued_easy": "trained, always solved at first",
    "always_solved": "always solved",
    "never_solved": "never solved",
    "not_needed": "signal, not needed",
    LOST: "expired or failed",
}


_RECYCLED = {
    "rescued_hard": "trained, recycled from never solved",
    "rescued_easy": "trained, recycled from always solved",
}
"""Names where prompts without signal stay in the pool."""


def accuracy_figure(summary: Summary, spent: str, name: str, heading: str = "") -> str:
    """Held-out accuracy over the cost so far, in ``"rollouts"``, ``"tokens"`` or ``"seconds"``."""
    made = _thinned(summary.evaluations)
    xs = [float(getattr(evaluation, spent)) for evaluation in made]
    curves = {"greedy": [one.greedy for one in made], "sampled": [one.accuracy for one in made]}
    colors = {"greedy": "teal", "sampled": "ember"}
    lines = [
        Series(
            curve,
            xs,
            values,
            colors[curve],
            markers=len(made) <= _DOTTED,
            band=_band(values, summary.held_out) if curve == "sampled" else None,
        )
        for curve, values in curves.items()
        if any(value is not None for value in values)
    ]
    chart = line_chart(
        lines,
        title=f"Accuracy by {name}",
        description="; ".join(f"{line.name} {ends(line.y, rate)}" for line in lines),
        x_label=name,
        y_limits=(0.0, 1.0),
        y_format=rate,
    )
    legend = {line.name: line.color for line in reversed(lines)}
    return page.figure(heading or f"By {name}", chart, legend=legend, data=csv_of(lines, name))


def composition_figure(summary: Summary) -> str:
    """Outcomes of the groups of every step, stacked."""
    groups, names = summary.composition, _NAMES | (_RECYCLED if summary.recycles else {})
    slices = list(buckets(len(groups.steps), _COLUMNS))
    shown = [name for name in names if groups.total(name)]
    chart = stacked_columns(
        [Layer(names[name], [float(groups.of(name)[place].mean()) for place in slices], name) for name in shown],
        [float(groups.steps[place.start]) for place in slices] + [float(groups.steps[-1]) + 1],
        title="Outcomes of the groups of every step",
        description=", ".join(f"{names[name]} {percent(groups.share(name))}" for name in shown),
        x_label="step",
        height=280,
    )
    note = "Coloured groups were trained on; grey ones cost rollouts and carried no signal."
    note += f" Each column is the mean of {slices[0].stop} steps." if slices[0].stop > 1 else ""
    data = _per_step(groups.steps, {names[name]: groups.of(name) for name in shown})
    return page.figure("Groups of every step", chart, note, {names[name]: name for name in shown}, data=data)


def batch_figure(summary: Summary) -> str:
    """Number of groups in each update, and the number configured."""
    groups = summary.composition
    slices = list(buckets(len(groups.steps), POINTS))
    steps = [float(groups.steps[place.stop - 1]) for place in slices]
    batch = Series("trained", steps, [float(groups.of(*TRAINED)[place].mean()) for place in slices], "ember")
    wanted = summary.setting("train", "groups_per_step")
    limit = [Series("configured", steps, [float(wanted)] * len(steps), "soft", dashed=True)] if wanted else []
    chart = line_chart([*limit, batch], title="Groups in each update", description=ends(batch.y), x_label="step")
    return page.figure(
        "Batch size",
        chart,
        legend={"trained groups": "ember"} | ({"train.groups_per_step": "soft"} if limit else {}),
        data=_per_step(groups.steps, {"trained groups": groups.of(*TRAINED)}),
    )


def level_accuracy_figure(summary: Summary, kind: str, heading: str) -> str:
    """Held-out ``"accuracy"`` or ``"greedy"`` by level; empty when fewer than two evaluations have levels."""
    made = _thinned([one for one in summary.evaluations if one.levels[kind]])
    if len(made) < 2:
        return ""
    xs = [one.rollouts for one in made]
    lines = [
        Series(f"level {level}", xs, [one.levels[kind].get(level) for one in made], color, markers=len(made) <= _DOTTED)
        for level, color in level_colors([one.levels[kind] for one in made]).items()
    ]
    chart = line_chart(
        lines,
        title=heading,
        description="; ".join(f"{line.name} {ends(line.y, rate)}" for line in lines),
        x_label="rollouts",
        y_limits=(0.0, 1.0),
        y_format=rate,
    )
    return page.figure(heading, chart, legend={line.name: line.color for line in lines}, data=csv_of(lines, "rollouts"))


def level_signal_figure(summary: Summary) -> str:
    """Share of the groups of each level without signal; empty when no step has levels."""
    rows = [row for row in summary.run.metrics if by_level(row, "zero_variance")]
    if not rows:
        return ""

    def share(level: int) -> Counted:
        def counted(row: Mapping[str, Any]) -> tuple[float, float]:
            groups = number(row, f"level_{level}/groups") or 0.0
            return groups * (number(row, f"level_{level}/zero_variance") or 0.0), groups

        return counted

    colors = level_colors([by_level(row, "zero_variance") for row in rows])
    lines = [ratio_series(rows, share(level), f"level {level}", color) for level, color in colors.items()]
    chart = line_chart(
        lines,
        title="Groups without signal",
        description="; ".join(f"{line.name} {ends(line.y, percent)}" for line in lines),
        x_label="step",
        y_limits=(0.0, 1.0),
        y_format=percent,
    )
    note = "Share of the groups whose rollouts were all right or all wrong. " + averaged_note(rows)
    legend = {line.name: line.color for line in lines}
    return page.figure("Groups without signal", chart, note.strip(), legend, data=csv_of(lines, "step"))


def search_figure(summary: Summary) -> str:
    """Turns and queries per rollout, over the steps."""
    rows = summary.searches

    def per_rollout(key: str) -> Counted:
        return lambda row: (number(row, key) or 0.0, solver_rollouts(row))

    lines = [
        ratio_series(rows, per_rollout("search/turns"), "turns", "soft"),
        ratio_series(rows, per_rollout("search/queries"), "queries", "ember"),
    ]
    description = "; ".join(f"{line.name} {ends(line.y)}" for line in lines)
    chart = line_chart(lines, title="Turns and queries of a rollout", description=description, x_label="step")
    legend = {line.name: line.color for line in reversed(lines)}
    data = csv_of(lines, "step")
    return page.figure("Turns and queries of a rollout", chart, averaged_note(rows), legend, data=data)


def live_figure(summary: Summary) -> str:
    """Number of prompts of the pool that can be drawn; empty when the run did not record it."""
    live = metric_series(summary, "pool/live", "live", "teal")
    if live is None:
        return ""
    size = metric_series(summary, "pool/size", "size", "soft", dashed=True)
    resets = int(number(summary.last, "pool/resets") or 0)
    lines = [line for line in (size, live) if line]
    chart = line_chart(lines, title="Prompts that can be drawn", description=ends(live.y), x_label="step")
    note = f"The pool was reset {resets} time{'s' if resets != 1 else ''}." if resets else ""
    legend = {"live": "teal"} | ({"in the pool": "soft"} if size else {})
    data = metric_columns(summary, {"pool/live": "live", "pool/size": "in the pool"})
    return page.figure("Live prompts", chart, note, legend, data=data)


def metric_figure(summary: Summary, key: str, heading: str, *, height: int = 130) -> str:
    """One metric over the steps; empty when it is absent or constant."""
    line = metric_series(summary, key, heading, "teal")
    if line is None or len({value for value in line.y if value is not None}) == 1:
        return ""
    chart = line_chart([line], title=heading, description=ends(line.y), x_label="step", height=height)
    return page.figure(heading, chart, data=metric_columns(summary, {key: key}))


def _per_step(steps: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]]) -> str:
    """Numbers of every step as CSV, or their means over several steps of a long run."""
    places = list(buckets(len(steps), ROWS))
    means = {name: [float(values[place].mean()) for place in places] for name, values in columns.items()}
    first = "step" if len(steps) <= ROWS else "last step of the mean"
    return csv_text({first: [float(steps[place.stop - 1]) for place in places], **means})


def _thinned(evaluations: Sequence[EvaluationPoint]) -> list[EvaluationPoint]:
    """Evenly chosen evaluations with the first and the last. They are not averaged, so each point is a measurement."""
    count = min(POINTS, len(evaluations))
    return [evaluations[round(place)] for place in np.linspace(0, len(evaluations) - 1, count)]


def _band(accuracies: Sequence[float | None], prompts: int | None) -> tuple[list[float], list[float]] | None:
    """95 % interval of every accuracy, for the number of prompts."""
    known = [value for value in accuracies if value is not None]
    if not prompts or len(known) < len(accuracies):
        return None
    limits = [Share(value * prompts, prompts).interval() for value in known]
    return [low for low, _ in limits], [high for _, high in limits]
