"""Sections of the report below its head. A section without content is an empty text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rekindle.observability import page
from rekindle.observability.causes import unsolved_cause
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
from rekindle.observability.formatting import compact, duration, excerpt, flops, grouped, percent
from rekindle.observability.narrative import conservation
from rekindle.observability.rows import solver_rollouts, total
from rekindle.observability.summary import PROMPTS_LISTED, Summary
from rekindle.observability.svg import Bar, horizontal_bars
from rekindle.types import Fate

__all__ = [
    "accuracy",
    "composition",
    "cost",
    "fates",
    "levels",
    "pool",
    "prompts",
    "recycling",
    "search",
    "search_table",
    "signals",
]

_STEPS_FOR_QUARTERS = 8
"""Runs of at least this many steps also show their first and last quarter."""

_QUESTION = 160
"""Most characters of a prompt in a table."""

_SEARCH = {
    "turns": "turns",
    "queries": "queries answered",
    "refused_queries": "queries refused",
    "malformed_calls": "malformed calls",
    "idle_turns": "turns without a query or a final END",
    "forced_answers": "ENDs that were forced",
    "documents": "documents found",
    "documents_cut": "documents cut",
}
"""Counts of search conversations; END stands for the role's final output."""

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
    if prompts := summary.held_out:
        note += f" The band is Wilson's 95% interval for {grouped(prompts)} prompts."
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


def fates(summary: Summary) -> str:
    """The fate of every rollout, and whether ledger and step log agree."""
    if not summary.accounted_rollouts:
        return ""
    total = summary.accounted_rollouts
    bars = [
        Bar(f"{name}: {meaning}", count.rollouts, percent(count.rollouts, total), color)
        for fate, (name, meaning, color) in _FATES.items()
        if (count := summary.fates[fate]).rollouts
    ]
    balanced, words = conservation(summary)
    chart = horizontal_bars(
        bars, whole=total, title="Fate of all rollouts", description=", ".join(f"{b.name} {b.text}" for b in bars)
    )
    return page.section(
        "The fate of every rollout",
        page.paragraph(words, "" if balanced else "alarm"),
        page.grid(
            page.figure("Share of the rollouts", chart),
            _fates_table(summary),
        ),
    )


def _fates_table(summary: Summary) -> str:
    """Groups and rollouts by fate; in self-play also by role."""
    roles = {role: summary.role_fates(role) for role in ("solver", "proposer")} if summary.self_play else {}
    total = summary.accounted_rollouts

    def line(name: str, fates: Sequence[Fate]) -> tuple[str, ...]:
        groups, rollouts = (
            sum(getattr(summary.fates[fate], kind) for fate in fates) for kind in ("groups", "rollouts")
        )
        by_role = (grouped(sum(counts[fate].rollouts for fate in fates)) for counts in roles.values())
        return name, grouped(groups), grouped(rollouts), percent(rollouts, total), *by_role

    rows = [line(name, [fate]) for fate, (name, *_) in _FATES.items()]
    note = "The last two columns are the rollouts of each role." if roles else ""
    return page.table("Counts", ("fate", "groups", "rollouts", "share", *roles), [*rows, line("all", list(Fate))], note)


def pool(summary: Summary) -> str:
    """Batch size and live prompts over the steps."""
    if not summary.composition.total():
        return ""
    return page.section("Pool and batch", page.grid(batch_figure(summary), live_figure(summary)))


def cost(summary: Summary) -> str:
    """Time, tokens and floating-point operations."""
    if not summary.step:
        return ""
    retrieving = ["retrieve"] if summary.searches or summary.self_play else []
    checking = ["check", "reference"] if summary.self_play else []
    names = ("generate", *retrieving, "verify", *checking, "train", "schedule", "evaluate", "other")
    spent = [total(summary.run.metrics, f"time/{name}") for name in names]
    bars = [
        Bar(name, value, f"{duration(value)} · {percent(value, sum(spent))}", "teal")
        for name, value in zip(names, spent, strict=True)
    ]
    chart = horizontal_bars(
        bars, whole=sum(spent) or 1.0, title="Time", description=", ".join(f"{bar.name} {bar.text}" for bar in bars)
    )
    tools, by_paper = summary.total("tool_tokens"), summary.total("flops_sgpo")
    totals = [
        ("prompt tokens", grouped(summary.total("prompt_tokens"))),
        ("generated tokens", grouped(summary.total("generated_tokens"))),
        *([("tool tokens", grouped(tools))] if tools else []),
        ("trained tokens", grouped(summary.total("trained_tokens"))),
        ("compute: 2P a token read or sampled, 6P a token in an update", flops(summary.total("flops"))),
        *([("compute by the sGPO paper: 12P a token of a rollout", flops(by_paper))] if by_paper else []),
        ("wall-clock time", duration(summary.total("seconds"))),
        ("processor time", duration(summary.total("cpu_seconds"))),
    ]
    return page.section(
        "Cost", page.grid(page.figure("Where the time went", chart), page.table("Totals", ("", ""), totals))
    )


def signals(summary: Summary) -> str:
    """Reward, entropy, gradient norm and the recipe's own metrics; constant ones are left out."""
    shown = {
        "reward/mean": "Mean reward of the rollouts",
        "completion/length_mean": "Mean length of a completion, tokens",
        "completion/truncated": "Share of truncated completions",
        "completion/rewarded_truncated": "Share of truncated completions that are a success all the same",
        "entropy": "Entropy, nats per token",
        "grad_norm": "Gradient norm",
        "temperature/mean": "Mean temperature",
        "groups/hot": "Groups at a raised temperature",
        "groups/revived": "Groups with signal again at a raised temperature",
        "pool/phase": "Phase of the curriculum",
        "pool/skipped": "Prompts skipped before their rollouts",
        "moved": "Change of the policy per update, nats per token",
    }
    figures = [figure for key, heading in shown.items() if (figure := metric_figure(summary, key, heading))]
    return page.section("Training signals", page.grid(*figures)) if figures else ""


def prompts(summary: Summary) -> str:
    """The prompts drawn most often, and those never solved."""
    drawn, unsolved = summary.prompt_counts()
    if not drawn:
        return ""
    columns = ("task", "visits", "rollouts", "solved", "trained")
    questions = summary.proposals.questions

    def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
        solved = percent(row["successes"], row["rollouts"])
        name = questions.get(row["task_id"], row["task_id"])
        return (
            excerpt(name, _QUESTION),
            grouped(row["visits"]),
            grouped(row["rollouts"]),
            solved,
            grouped(row["trained"]),
        )

    never = [cells(row)[:3] for row in summary.never_solved(PROMPTS_LISTED)]
    share = f"{grouped(unsolved)} of them ({percent(unsolved, drawn)}) were never solved. {unsolved_cause(summary)}"
    text = f"{grouped(drawn)} different prompts were drawn; {share if unsolved else 'each was solved at least once.'}"
    return page.section(
        "Prompts",
        page.paragraph(text),
        page.grid(
            page.table("Drawn most often", columns, map(cells, summary.most_drawn(PROMPTS_LISTED))),
            page.table("Never solved, most rollouts first", columns[:3], never) if never else "",
        ),
    )
