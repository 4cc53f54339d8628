"""The table of a plan, as cells and as text for a terminal."""

import math
from collections.abc import Callable, Iterator, Sequence

from rekindle.observability.formatting import compact, flops, grouped
from rekindle.planning.cluster_plan import ClusterArm
from rekindle.planning.measures import flops_of, interval, profile_rollouts
from rekindle.planning.plan_recipes import is_single
from rekindle.planning.planner import ArmPlan, Plan
from rekindle.planning.totals import Interval

__all__ = ["CLUSTER_HEAD", "COSTS", "HEAD", "cells", "cluster_cells", "notes", "plan_lines", "shown", "text_lines"]

HEAD = (
    "recipe",
    "group size",
    "all wrong, %",
    "all correct, %",
    "with signal, %",
    "rollouts per group with signal",
    "p(1-p) per rollout",
    "updates",
    "rollouts",
    "tokens",
    "FLOPs",
    "FLOPs, sGPO's account",
)
COSTS = 7
"""Columns before those of costs."""
UNKNOWN = "-"
Format = Callable[[float], str]


def shown(found: Interval | None, form: Format, *, limits: bool = True) -> str:
    """A value with its limits where they are known, e.g. ``46 (43-49)``; "-" where it is not known itself."""
    if found is None or not math.isfinite(found.mean):
        return UNKNOWN
    value = form(found.mean)
    if not (limits and math.isfinite(found.low) and math.isfinite(found.high)):
        return value
    low, high = form(found.low), form(found.high)
    return value if low == value == high else f"{value} ({low}-{high})"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def cells(one: ArmPlan, plan: Plan, parameters: int) -> list[str]:
    """The row of an arm."""
    cost = flops_of(one, plan.rates, parameters)
    profile = profile_rollouts(one, plan.rates)
    rollouts = shown(interval(one, "rollouts"), compact, limits=False)
    return [
        one.arm.recipe,
        "its own" if one.arm.size is None else str(one.arm.size),
        shown(interval(one, "all_wrong"), _percent, limits=False),
        shown(interval(one, "all_correct"), _percent, limits=False),
        shown(interval(one, "with_signal"), _percent),
        shown(interval(one, "rollouts_per_signal"), lambda value: f"{value:.1f}"),
        shown(interval(one, "variance_per_rollout"), lambda value: f"{value:.3f}", limits=False),
        shown(interval(one, "steps"), grouped, limits=False),
        f"{rollouts} + {compact(profile)}" if profile else rollouts,
        shown(interval(one, "tokens"), compact, limits=False),
        UNKNOWN if cost is None else shown(cost[0], flops, limits=False),
        UNKNOWN if cost is None else shown(cost[1], flops, limits=False),
    ]


def notes(plan: Plan, parameters: int) -> Iterator[str]:
    """What the table leaves open, in sentences."""
    if any(profile_rollouts(one, plan.rates) for one in plan.arms):
        yield 'Rollouts after "+" are those of the profile, which sgpo cannot do without; its FLOPs have them.'
    if any(interval(one, "with_signal") is None for one in plan.arms):
        yield (
            "Recipes of single rollouts compare a rollout with other prompts or with the prompt's history, so their "
            "groups have no signal of their own; p(1-p) per rollout can be compared, if their baseline is good."
        )
    if not math.isfinite(plan.rates.mean_tokens) or not math.isfinite(plan.rates.prompt_tokens):
        yield "Lengths are not known, so tokens and FLOPs are not either; give --lengths PROMPT,COMPLETION."
    elif not parameters:
        yield "The model's size is not known, so FLOPs are not either; give --model."
    yield from plan.left_out
    if plan.interrupted:
        yield "The plan was interrupted; the recipes that are not listed were not planned."


def text_lines(head: Sequence[str], rows: Sequence[Sequence[str]], width: int = 11) -> Iterator[str]:
    """A table as text: the head wrapped to ``width``, the first column to the left, others to the right."""
    heads = [_wrapped(name, width) for name in head]
    depth = max(map(len, heads))
    lines = zip(*([""] * (depth - len(name)) + name for name in heads), strict=True)
    table = [*lines, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for number, row in enumerate(table):
        if number == depth:
            yield "  ".join("-" * size for size in widths)
        yield "  ".join(
            cell.ljust(size) if not column else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


CLUSTER_HEAD = (
    "recipe",
    "group size",
    "steps ahead",
    "rollouts an hour",
    "groups with signal an hour",
    "seconds an update",
    "slots busy, %",
    "rollouts in no update, %",
    "age in updates",
    "scheduler's share of a core, %",
    "memory",
)


def cluster_cells(one: ClusterArm) -> list[str]:
    """The row of a recipe on a cluster."""
    return [
        one.arm.recipe,
        "its own" if one.arm.size is None else str(one.arm.size),
        str(one.lag),
        compact(one.rollouts_an_hour),
        UNKNOWN if is_single(one.arm.config) else compact(one.trained_an_hour),
        grouped(sum(one.measured.seconds) / len(one.measured.seconds)),
        f"{100 * one.measured.busy:.1f}",
        f"{100 * one.wasted:.0f}",
        f"{one.age:.2f}, at most {one.oldest}",
        f"{100 * one.scheduler_share:.2g}",
        f"{one.peak_bytes / 1e9:.1f} GB",
    ]


def plan_lines(plan: Plan, parameters: int, said: Sequence[str]) -> Iterator[str]:
    """The plan for a terminal: what is known, the table, the advice."""
    yield f"{plan.rates.source}: mean success rate {plan.rates.mean:.2f}"
    yield ""
    rows = [cells(one, plan, parameters) for one in plan.arms]
    if rows:
        kept = [column for column in range(len(HEAD)) if column < 2 or any(row[column] != UNKNOWN for row in rows)]
        yield from text_lines([HEAD[column] for column in kept], [[row[column] for column in kept] for row in rows])
        yield ""
    if plan.on_cluster:
        yield from text_lines(CLUSTER_HEAD, [cluster_cells(one) for one in plan.on_cluster])
        yield ""
    yield from (*notes(plan, parameters), *said)
