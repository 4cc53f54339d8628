"""The numbers of a user's regime, from a plan: what the chooser compares with measured regimes."""

import math

import numpy as np

from rekindle.planning.chooser import Choice, choose, size_of
from rekindle.planning.measured import BASE, measured_regimes
from rekindle.planning.plan_recipes import USUAL_GROUPS
from rekindle.planning.planner import ArmPlan, Plan

__all__ = ["choice_of", "own_axes"]


def choice_of(plan: Plan) -> Choice:
    """What the measured regimes say to the user of a plan."""
    regimes = measured_regimes()
    sizes = {size_of(one) for one in regimes} - {0}
    return choose({size: own_axes(plan, size) for size in sizes}, regimes)


def own_axes(plan: Plan, size: int) -> dict[str, float]:
    """The numbers of ``chooser.AXES`` in groups of this size; nan where the plan does not know them.

    The group size is the planned one that is nearest to it.
    """
    rates = plan.rates
    share = rates.prompts / rates.measured
    wrong, correct = (float(np.mean(found @ share)) for found in plan.belief.all_alike(size))
    planned = [one.arm.size for one in plan.arms if one.arm.size is not None] or [size]
    return {
        "never": wrong,
        "always": correct,
        "visits": _visits(plan, size),
        "completion_tokens": rates.mean_tokens,
        "prompt_tokens": rates.prompt_tokens,
        "generation_share": _generation_share(plan, size),
        "group_size": float(min(planned, key=lambda one: abs(math.log(one / size)))),
        "parameters": float(plan.parameters) if plan.parameters else math.nan,
    }


def _base(plan: Plan, size: int) -> ArmPlan | None:
    """The plan of plain GRPO at the size nearest to this one."""
    sized = [(one.arm.size, one) for one in plan.arms if one.arm.recipe == BASE and one.arm.size is not None]
    return min(sized, key=lambda pair: abs(math.log(pair[0] / size)))[1] if sized else None


def _visits(plan: Plan, size: int) -> float:
    """Groups of this size that a prompt gets until the plan ends, which is at the first of its bounds."""
    horizon, base = plan.settings.horizon, _base(plan, size)
    step = USUAL_GROUPS if base is None else base.arm.config.train.groups_per_step
    ends = [
        horizon.groups,
        None if horizon.rollouts is None else horizon.rollouts / size,
        None if horizon.steps is None else horizon.steps * step,
    ]
    return min(end for end in ends if end is not None) / plan.settings.prompts


def _generation_share(plan: Plan, size: int) -> float:
    """Sampling's part of the FLOPs of plain GRPO, by the account of ``measures.flops_of``; parameters cancel."""
    base, prompt = _base(plan, size), plan.rates.prompt_tokens
    if base is None or not math.isfinite(prompt):
        return math.nan
    totals = base.totals
    generated = totals.sampled_tokens + totals.groups * prompt
    trained = (totals.rows / totals.rollouts) * generated
    return float(np.mean(generated / (generated + 3 * trained)))
