"""Numbers of a plan by name: shares, signal per rollout, costs; each for every simulated run of an arm."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from rekindle.planning.pass_rates import Floats, PassRates
from rekindle.planning.plan_recipes import is_single
from rekindle.planning.planner import ArmPlan
from rekindle.planning.totals import Interval, Totals, interval_of
from rekindle.records.flops import flops
from rekindle.scheduling.pools import POOLS

__all__ = ["MEASURES", "flops_of", "interval", "profile_rollouts", "ratio"]

Measure = Callable[[Totals], Floats]


def _part(above: Floats, below: Floats) -> Floats:
    share: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return share


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "all_wrong": lambda one: _part(one.all_wrong, one.groups),
        "all_correct": lambda one: _part(one.all_correct, one.groups),
        "with_signal": lambda one: _part(one.with_signal, one.groups),
        "rollouts_per_signal": lambda one: _part(one.rollouts, one.trained),
        "signal_per_rollout": lambda one: _part(one.trained, one.rollouts),
        "variance_per_rollout": lambda one: _part(one.variance, one.rollouts),
        "rollouts": lambda one: one.rollouts,
        "tokens": lambda one: one.sampled_tokens,
        "steps": lambda one: one.steps,
        "trained": lambda one: one.trained,
        "ability": lambda one: one.ability,
    }
)
"""Of the groups rolled out: shares that are all wrong, all correct, with signal. ``rollouts_per_signal``: rollouts per
group with signal in an update. ``variance_per_rollout``: ``Totals.variance`` per rollout."""
OF_GROUPS = {"all_wrong", "all_correct", "with_signal", "rollouts_per_signal", "signal_per_rollout", "trained"}
"""Measures without a meaning where groups have one rollout."""


def interval(plan: ArmPlan, measure: str, totals: Totals | None = None) -> Interval | None:
    """The interval of a measure; None where it has no meaning or is not known.

    Rollouts per group with signal are those of all runs together, lest one with hardly any signal counts most.
    """
    if measure in OF_GROUPS and is_single(plan.arm.config):
        return None
    chosen = plan.totals if totals is None else totals
    found = interval_of(MEASURES[measure](chosen))
    if measure == "rollouts_per_signal" and chosen.trained.any():
        found = replace(found, mean=float(chosen.rollouts.sum() / chosen.trained.sum()))
    return found if np.isfinite(found.mean) else None


def ratio(plan: ArmPlan, base: ArmPlan, measure: str) -> Interval | None:
    """The interval of a measure's ratio to that of another arm, run by run: both have the same rates in a run."""
    if measure in OF_GROUPS and (is_single(plan.arm.config) or is_single(base.arm.config)):
        return None
    runs = min(len(plan.totals), len(base.totals))
    ours, theirs = (MEASURES[measure](one.totals)[:runs] for one in (plan, base))
    found = interval_of(_part(ours, theirs))
    return found if np.isfinite(found.mean) else None


def profile_rollouts(plan: ArmPlan, rates: PassRates) -> int:
    """Rollouts of the profile that a recipe cannot do without; 0 where it can."""
    needed = POOLS[plan.arm.config.pool.kind].needs_profile
    return int((rates.samples * rates.prompts).sum()) if needed else 0


def flops_of(plan: ArmPlan, rates: PassRates, parameters: int) -> tuple[Interval, Interval] | None:
    """FLOPs by our account, and by the sGPO paper's; None where parameters or lengths are not known.

    Ours: 2P per token that is sampled or read, a prompt once per group, and 6P per token of an update, whose groups
    read their prompt once. The paper's (arXiv 2606.08854): 12P per token of a rollout, its prompt included. Both: 2P
    per token of a profile that the recipe cannot do without.
    """
    totals, prompt = plan.totals, rates.prompt_tokens
    if not parameters or not np.isfinite(prompt) or not np.isfinite(rates.mean_tokens):
        return None
    per_rollout = totals.sampled_tokens / totals.rollouts
    groups_trained = totals.groups * totals.rows / totals.rollouts
    before = profile_rollouts(plan, rates) * rates.mean_tokens + _profile_prompts(plan, rates) * prompt
    ours = flops(
        parameters,
        forward=1.0,
        trained=0.0,
    ) * (totals.sampled_tokens + totals.groups * prompt + before)
    ours = ours + flops(parameters, forward=0.0, trained=1.0) * (totals.rows * per_rollout + groups_trained * prompt)
    paper = parameters * (12 * (totals.sampled_tokens + totals.rollouts * prompt) + 2 * before)
    return interval_of(ours), interval_of(paper)


def _profile_prompts(plan: ArmPlan, rates: PassRates) -> int:
    return rates.measured if profile_rollouts(plan, rates) else 0
