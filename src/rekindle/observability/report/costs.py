"""Sections of the report on cost: time, tokens and compute, and what was saved against plain GRPO."""

from collections.abc import Callable, Iterator

from rekindle.observability import page
from rekindle.observability.formatting import duration, flops, grouped, percent
from rekindle.observability.rows import total
from rekindle.observability.savings import Saving
from rekindle.observability.summary import Summary
from rekindle.observability.svg import Bar, horizontal_bars

__all__ = ["cost", "saved"]

_MEASURE = (
    "A group with signal is not accuracy: to see what the signal taught, run the recipe grpo on the same tasks, and "
    "rekindle compare both runs."
)


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
        "Cost",
        page.grid(page.figure("Where the time went", chart), page.table("Totals", ("", "whole run"), totals)),
    )


def saved(summary: Summary) -> str:
    """Rollouts for the same groups with signal, against plain GRPO; a sentence where they cannot be compared."""
    if not summary.composition.total():
        return ""
    found, why = summary.saving
    heading = "Cost saved against plain GRPO"
    if found is None:
        return page.section(heading, page.paragraph(f"Not estimated: {why}. {_MEASURE}"))
    size = int(summary.setting("train", "group_size") or 0)
    assumption = (
        f"Assumed baseline: plain GRPO with groups of {size}, the same prompts and the same policy at every step. It "
        "draws prompts in turn, so its share of groups with signal is that of the prompts that this run drew for the "
        f"first time ({grouped(found.first_visits)} groups, step by step). Compared are the rollouts for each trained "
        f"group with different rewards, over {_steps(summary, found)}."
    )
    note = "Tokens and compute per rollout are taken to be those of this run."
    return page.section(
        heading,
        page.paragraph(_verdict(found)),
        page.table(
            "The same groups with signal",
            ("", "this run", "plain GRPO, estimated", "saved"),
            _rows(summary, found),
            note,
        ),
        page.paragraph(f"{assumption} {_MEASURE}", "soft"),
    )


def _verdict(found: Saving) -> str:
    own, baseline = found.rollouts / found.signal, found.baseline / found.signal
    low, high = sorted(found.interval())
    paid = (
        f"For each group with signal this run paid {own:.1f} rollouts, and plain GRPO would have paid about "
        f"{baseline:.1f}"
    )
    span = f"(95% interval of the saving: {_signed(low)} to {_signed(high)})"
    if low <= 0 <= high:
        return f"{paid}: no difference that could be told from chance {span}."
    if found.share > 0:
        return f"{paid}: it saved {percent(found.share)} of the rollouts {span}."
    return f"{paid}: it saved nothing, and cost {percent(-found.share)} more rollouts {span}."


def _steps(summary: Summary, found: Saving) -> str:
    if found.steps == summary.step:
        return "all steps"
    return (
        f"the {grouped(found.steps)} of {grouped(summary.step)} steps with enough first visits; in the others nearly "
        "all prompts had been seen before, and the share is not known"
    )


def _rows(summary: Summary, found: Saving) -> Iterator[tuple[str, ...]]:
    """Rollouts, tokens and both accounts of the compute, for the steps that were compared."""
    yield _row("rollouts", found.rollouts, found.baseline, grouped)
    rollouts = summary.total("rollouts")
    if not rollouts:
        return
    extra = (found.rollouts - found.baseline) / rollouts
    share = found.rollouts / rollouts
    tokens = summary.total("generated_tokens")
    yield _row("generated tokens", share * tokens, (share - extra) * tokens, grouped)
    if paper := summary.total("flops_sgpo"):
        yield _row("compute by the sGPO paper: 12P a token of a rollout", share * paper, (share - extra) * paper, flops)
        # 12P a token of a rollout gives P; the updates are the same, so what differs is read and sampled at 2P.
        read = paper / 6 * (tokens / max(1.0, tokens + summary.total("prompt_tokens") + summary.total("tool_tokens")))
        ours = summary.total("flops") * share
        yield _row("compute: 2P a sampled token, the same updates", ours, ours - extra * read, flops)


def _row(name: str, own: float, baseline: float, form: Callable[[float], str]) -> tuple[str, ...]:
    return name, form(own), form(max(0.0, baseline)), _signed(1 - own / baseline if baseline > 0 else 0.0)


def _signed(share: float) -> str:
    return f"-{percent(-share)}" if share < 0 else percent(share)
