"""The report's sections below its head. A section without anything to show is an empty text."""

from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.observability import page
from rekindle.observability.charts import (
    accuracy_figure,
    batch_figure,
    composition_figure,
    level_accuracy_figure,
    level_signal_figure,
    live_figure,
    metric_figure,
    search_figure,
)
from rekindle.observability.formatting import compact, duration, flops, grouped, percent
from rekindle.observability.narrative import conservation
from rekindle.observability.summary import Summary, number
from rekindle.observability.svg import Bar, horizontal_bars
from rekindle.types import Fate

__all__ = ["accuracy", "composition", "cost", "fates", "levels", "pool", "prompts", "recycling", "search", "signals"]

_PROMPTS_LISTED = 10

_STEPS_FOR_QUARTERS = 8
"""A run of so many steps shows its first and its last quarter beside the whole."""

_SEARCH = {
    "search/turns": "turns",
    "search/queries": "queries answered",
    "search/refused_queries": "queries refused",
    "search/malformed_calls": "malformed calls",
    "search/idle_turns": "turns without a query or an answer",
    "search/forced_answers": "answers that were forced",
    "search/documents": "documents found",
    "search/documents_cut": "documents cut",
    "tool_tokens": "tool tokens",
}

_FATES = {
    Fate.TRAINED: ("trained", "in an update", "fresh"),
    Fate.RECYCLED: ("recycled", "no signal, back in the pool", "never_solved"),
    Fate.RETIRED: ("retired", "no signal, out of the pool", "always_solved"),
    Fate.EXCESS: ("excess", "signal, not needed", "not_needed"),
    Fate.EXPIRED: ("expired", "policy too old", "lost"),
    Fate.FAILED: ("failed", "engine or verifier", "lost"),
}


def accuracy(summary: Summary) -> str:
    """Accuracy on held-out prompts, once there are two evaluations to compare."""
    if len(summary.evaluations) < 2:
        return ""
    note = "Sampled: mean pass@1 at temperature 1. Greedy: the most probable answer."
    if prompts := summary.setting("eval", "prompts"):
        note += f" The band is what {grouped(prompts)} prompts leave open (95%)."
    figures = [accuracy_figure(summary, "rollouts", "rollouts"), accuracy_figure(summary, "tokens", "generated tokens")]
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
    note = "Level is the difficulty that a task has by itself: of a question to search for, its number of hops."
    return page.section("By level", page.paragraph(note, "soft"), page.grid(*figures))


def search(summary: Summary) -> str:
    """What a search agent did in its rollouts."""
    rows = summary.searches
    if not rows:
        return ""
    parts = {"whole run": rows}
    if len(rows) >= _STEPS_FOR_QUARTERS:
        quarter = len(rows) // 4
        parts = {"first quarter": rows[:quarter], "last quarter": rows[-quarter:]} | parts

    def per_rollout(key: str, part: Sequence[Mapping[str, Any]]) -> str:
        return compact(_sum(part, key) / max(1.0, _sum(part, "rollouts")))

    lines = [(name, *(per_rollout(key, part) for part in parts.values())) for key, name in _SEARCH.items()]
    return page.section("Searching", page.grid(search_figure(summary), page.table("Per rollout", ("", *parts), lines)))


def composition(summary: Summary) -> str:
    """What became of the groups."""
    return page.section("What became of the groups", composition_figure(summary)) if summary.composition.total() else ""


def recycling(summary: Summary) -> str:
    """The recycled share beside its null control, where that was measured."""
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
        "A recycled share alone proves nothing: fresh prompts run out and small groups misjudge, so the same sampler "
        "recycles over a policy that never changes. What a frozen policy does not give is a growing share of prompts "
        f"that are always solved: here {early} of the groups in the first quarter of the steps, {late} in the last."
    )
    chart = horizontal_bars(
        bars, whole=1.0, title="Recycled share and null control", description=f"{bars[0].text}, {bars[1].text}"
    )
    return page.section(
        "Recycling beside its null control", page.paragraph(text), page.grid(page.figure("Recycled", chart))
    )


def fates(summary: Summary) -> str:
    """Where all rollouts ended, and whether the books balance."""
    if not summary.accounted_rollouts:
        return ""
    total = summary.accounted_rollouts
    bars, rows = [], []
    for fate, (name, meaning, color) in _FATES.items():
        count = summary.fates[fate]
        if count.rollouts:
            bars.append(Bar(f"{name}: {meaning}", count.rollouts, percent(count.rollouts, total), color))
        rows.append((name, grouped(count.groups), grouped(count.rollouts), percent(count.rollouts, total)))
    rows.append(("all", grouped(sum(count.groups for count in summary.fates.values())), grouped(total), "100%"))
    balanced, words = conservation(summary)
    chart = horizontal_bars(
        bars, whole=total, title="Fate of all rollouts", description=", ".join(f"{b.name} {b.text}" for b in bars)
    )
    return page.section(
        "The fate of every rollout",
        page.paragraph(words, "" if balanced else "alarm"),
        page.grid(
            page.figure("Share of the rollouts", chart),
            page.table("Counts", ("fate", "groups", "rollouts", "share"), rows),
        ),
    )


def pool(summary: Summary) -> str:
    """Batch size and live prompts over the steps."""
    if not summary.composition.total():
        return ""
    return page.section("Pool and batch", page.grid(batch_figure(summary), live_figure(summary)))


def cost(summary: Summary) -> str:
    """Time, tokens and floating-point operations."""
    if not summary.step:
        return ""
    retrieving = ["retrieve"] if summary.searches else []
    names = ("generate", *retrieving, "verify", "train", "schedule", "evaluate", "other")
    spent = [_sum(summary.run.metrics, f"time/{name}") for name in names]
    bars = [
        Bar(name, value, f"{duration(value)} · {percent(value, sum(spent))}", "teal")
        for name, value in zip(names, spent, strict=True)
    ]
    chart = horizontal_bars(
        bars, whole=sum(spent) or 1.0, title="Time", description=", ".join(f"{bar.name} {bar.text}" for bar in bars)
    )
    tools = summary.total("tool_tokens")
    totals = [
        ("prompt tokens", grouped(summary.total("prompt_tokens"))),
        ("generated tokens", grouped(summary.total("generated_tokens"))),
        *([("tool tokens", grouped(tools))] if tools else []),
        ("trained tokens", grouped(summary.total("trained_tokens"))),
        ("compute", flops(summary.total("flops"))),
        ("wall-clock time", duration(summary.total("seconds"))),
        ("processor time", duration(summary.total("cpu_seconds"))),
    ]
    return page.section(
        "Cost", page.grid(page.figure("Where the time went", chart), page.table("Totals", ("", ""), totals))
    )


def signals(summary: Summary) -> str:
    """Reward, entropy, gradient norm, and what the recipe adds, as far as they vary."""
    shown = {
        "reward/mean": "Mean reward of the rollouts",
        "entropy": "Entropy, nats a token",
        "grad_norm": "Gradient norm",
        "temperature/mean": "Mean temperature",
        "groups/hot": "Heated groups of a step",
        "groups/revived": "Heated groups that taught again",
        "pool/phase": "Phase of the curriculum",
        "pool/skipped": "Prompts skipped before their rollouts",
        "moved": "How far an update moved the policy, nats a token",
    }
    figures = [figure for key, heading in shown.items() if (figure := metric_figure(summary, key, heading))]
    return page.section("Training signals", page.grid(*figures)) if figures else ""


def prompts(summary: Summary) -> str:
    """The prompts drawn most often, and those that were never solved."""
    drawn, unsolved = summary.prompt_counts()
    if not drawn:
        return ""
    columns = ("task", "visits", "rollouts", "solved", "taught")

    def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
        solved = percent(row["successes"], row["rollouts"])
        return row["task_id"], grouped(row["visits"]), grouped(row["rollouts"]), solved, grouped(row["taught"])

    never = [cells(row)[:3] for row in summary.never_solved(_PROMPTS_LISTED)]
    share = f"{grouped(unsolved)} of them ({percent(unsolved, drawn)}) were never solved"
    text = f"{grouped(drawn)} different prompts were drawn; {share if unsolved else 'each was solved at least once'}."
    return page.section(
        "Prompts",
        page.paragraph(text),
        page.grid(
            page.table("Drawn most often", columns, map(cells, summary.most_drawn(_PROMPTS_LISTED))),
            page.table("Never solved, most rollouts first", columns[:3], never) if never else "",
        ),
    )


def _sum(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return sum(number(row, key) or 0.0 for row in rows)
