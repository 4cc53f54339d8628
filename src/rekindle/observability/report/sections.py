"""Sections of the report below its head. A section without content is an empty text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rekindle.observability import page
from rekindle.observability.charts import (
    accuracy_figure,
    batch_figure,
    composition_figure,
    level_accuracy_figure,
    level_signal_figure,
    live_figure,
    search_figure,
)
from rekindle.observability.formatting import compact, grouped, percent
from rekindle.observability.rows import solver_rollouts, total
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Bar, horizontal_bars

__all__ = [
    "accuracy",
    "composition",
    "levels",
    "pool",
    "recycling",
    "search",
    "search_table",
]

_STEPS_FOR_QUARTERS = 8
"""Runs of at least this many steps also show their first and last quarter."""

_SEARCH = {
    "turns": "turns",
    "queries": "queries answered",
    "refused_queries": "queries refused",
    "malformed_calls": "malformed calls",
    "idle_turns": "turns without a query or a final END",
    "forced_answers": "ENDs that were forced",
    "documents": "documents found",
    "documents_cut": "documents cut",
    "documents_marked": "documents with tags or control strings in them",
}
"""Counts of search conversations; END stands for the role's final output."""


def accuracy(summary: Summary) -> str:
    """Accuracy on held-out prompts, once there are two evaluations to compare."""
    if len(summary.evaluations) < 2:
        return ""
    note = "Sampled: mean pass@1 at temperature 1. Greedy: the most probable answer."
    if prompts := summary.held_out:
        note += f" The band is Wilson's 95% interval for {grouped(prompts)} prompts."
    note += " The curve by rollouts is at the top of the page."
    spent = {"tokens": "generated tokens", "seconds": "seconds"}
    figures = [accuracy_figure(summary, key, name) for key, name in spent.items()]
    return page.section("Accuracy on held-out prompts", page.paragraph(note, "soft"), page.grid(*figures))


def levels(summary: Summary) -> str:
    """Accuracy and signal by level, where tasks have levels."""
    figures = [
        level_accuracy_figure(summary, "accuracy", "Sampled accuracy"),
        level_accuracy_figure(summary, "greedy", "Greedy accuracy"),
        level_signal_figure(summary),
    ]
    if not any(figures):
        return ""
    note = "Level is the difficulty of a task; for search questions it is the number of hops."
    if summary.self_play:
        note += " For questions created in the run it is the number of the proposer's searches."
    return page.section("By level", page.paragraph(note, "soft"), page.grid(*figures))


def search(summary: Summary) -> str:
    """Turns, queries and documents of a search agent's rollouts."""
    rows = summary.searches
    if not rows:
        return ""
    table = search_table(
        "Per rollout", rows, "search", solver_rollouts, ("tool_tokens",) if summary.self_play is None else ()
    )
    return page.section("Searching", page.grid(search_figure(summary), table))


def search_table(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    role: str,
    rollouts: Callable[[Mapping[str, Any]], float],
    further: Sequence[str] = (),
) -> str:
    """Counts per rollout in the conversations of ``"search"`` (the solver) or ``"proposer"``.

    Args:
        name: Title of the table.
        rows: Rows of the step log, at least one.
        role: Prefix of the keys.
        rollouts: Row -> number of rollouts of the step.
        further: Further keys of the step log.
    """
    parts = {"whole run": rows}
    if len(rows) >= _STEPS_FOR_QUARTERS:
        quarter = len(rows) // 4
        parts = {"first quarter": rows[:quarter], "last quarter": rows[-quarter:]} | parts

    def per_rollout(key: str, part: Sequence[Mapping[str, Any]]) -> str:
        return compact(total(part, key) / max(1.0, sum(map(rollouts, part))))

    end = "question" if role == "proposer" else "answer"
    keys = {f"{role}/{count}": words.replace("END", end) for count, words in _SEARCH.items()}
    keys |= {key: key.replace("_", " ") for key in further}
    lines = [(words, *(per_rollout(key, part) for part in parts.values())) for key, words in keys.items()]
    return page.table(name, ("", *parts), lines)


def composition(summary: Summary) -> str:
    """Outcomes of the groups."""
    return page.section("Outcomes of the groups", composition_figure(summary)) if summary.composition.total() else ""


def recycling(summary: Summary) -> str:
    """The recycled share and its null control, where that was measured."""
    control, groups = summary.null_control, summary.composition
    if control is None:
        return ""
    shares = (
        ("this run", control.recycled_share, "ember"),
        ("same sampler, frozen policy", control.frozen_share, "soft"),
    )
    bars = [Bar(name, value, percent(value), color) for name, value, color in shares]
    early, late = (percent(groups.quarter(index).share("always_solved")) for index in (0, 3))
    text = (
        "A recycled share alone is no evidence of learning: fresh prompts run out and small groups misjudge a prompt, "
        "so the sampler also recycles with a frozen policy. Both shares are those of the last quarter of the steps; "
        f"over the whole run this run recycled {percent(summary.recycled_share)} of its trained groups. A growing "
        f"share of always-solved prompts is evidence: here {early} of the groups in the first quarter, {late} in the "
        "last."
    )
    chart = horizontal_bars(
        bars, whole=1.0, title="Recycled share and null control", description=f"{bars[0].text}, {bars[1].text}"
    )
    return page.section(
        "Recycling and its null control", page.paragraph(text), page.grid(page.figure("Recycled", chart))
    )


def pool(summary: Summary) -> str:
    """Batch size and live prompts over the steps."""
    if not summary.composition.total():
        return ""
    return page.section("Pool and batch", page.grid(batch_figure(summary), live_figure(summary)))
