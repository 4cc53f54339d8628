"""Advice of a plan: sentences that follow from its own numbers; ``choice_words`` has those of what was measured."""

from collections.abc import Iterator, Sequence

import numpy as np

from rekindle.observability.formatting import counted, grouped, percent
from rekindle.planning.belief import RateBelief, believe
from rekindle.planning.measures import interval, profile_rollouts, ratio
from rekindle.planning.pass_rates import Floats, PassRates, grouped_rates
from rekindle.planning.plan_recipes import is_single
from rekindle.planning.planner import ArmPlan, Plan
from rekindle.planning.totals import Interval, interval_of

__all__ = ["advice", "samples_to_measure"]

BASE, VARIANCE = "grpo", "variance_per_rollout"
UNSURE = 0.3
"""Width of the interval of the share with signal, as a part of it, from which more samples are advised.

Below it the share is known within 15 %, the error that plans are held to in ``benchmarks/plan_truth.py``.
"""
MORE_SAMPLES = (4, 8, 16, 32, 64)
USUAL_SIZE = 8
MOST_MEASURED = 2_000
"""Prompts of a profile that is simulated to find the number of samples."""


def advice(plan: Plan) -> list[str]:
    """What the plan says, in a few sentences."""
    return [*_measure_first(plan), *_which_recipe(plan), *_own_sizes(plan), *_what_it_costs(plan)]


def _measure_first(plan: Plan) -> Iterator[str]:
    """Whether the profile has enough samples, and how many would be enough."""
    rates = plan.rates
    if rates.rates_only:
        return
    needed = samples_to_measure(plan.belief)
    if needed is None:
        return
    samples = "1 sample" if rates.most_samples == 1 else f"at most {rates.most_samples} samples"
    rarer, name = (rates.never, "never") if rates.never >= rates.always else (rates.always, "always")
    share = interval_of(_share_with_signal(plan.belief, USUAL_SIZE))
    yield (
        f"{grouped(rarer)} of {counted(rates.measured, 'prompt')} were {name} solved in {samples}: between "
        f"{percent(share.low)} and {percent(share.high)} of groups of {USUAL_SIZE} would have signal. Measure {needed} "
        "samples a prompt before you believe a plan."
    )


def _share_with_signal(belief: RateBelief, size: int) -> Floats:
    wrong, correct = belief.all_alike(size)
    number = belief.rates.prompts
    return np.asarray((1 - wrong - correct) @ (number / number.sum()))


def _width(belief: RateBelief, size: int = USUAL_SIZE) -> float:
    share = interval_of(_share_with_signal(belief, size))
    return (share.high - share.low) / share.mean if share.mean else 0.0


def samples_to_measure(belief: RateBelief) -> int | None:
    """Samples a prompt after which the share of groups with signal is known well; None: it is known well now.

    A profile of so many samples is simulated from what is known, and what it would say is computed.
    """
    rates = belief.rates
    if _width(belief) <= UNSURE:
        return None
    more = [samples for samples in MORE_SAMPLES if samples > rates.most_samples]
    for samples in more:
        if _width(_imagined(belief, samples)) <= UNSURE:
            return samples
    return more[-1] if more else None


def _imagined(belief: RateBelief, samples: int) -> RateBelief:
    """What a profile of more samples of the same prompts may say."""
    rng = np.random.default_rng(samples)
    draw = int(np.argsort(_share_with_signal(belief, USUAL_SIZE))[len(belief) // 2])
    cells = belief.drawn_cells(min(belief.rates.measured, MOST_MEASURED), rng)
    found = rng.binomial(samples, belief.drawn_rates(draw, cells, rng))
    right, asked, prompts, lengths = grouped_rates(found, np.full(len(found), samples), where="an imagined profile")
    return believe(
        PassRates(successes=right, samples=asked, prompts=prompts, sampled_tokens=lengths), seed=samples, draws=100
    )


# -- recipes ----------------------------------------------------------------------------------------------------------


def _which_recipe(plan: Plan) -> Iterator[str]:
    """The recipe with most signal per rollout at each size, where it differs from plain GRPO and from the next."""
    best: tuple[Interval, ArmPlan] | None = None
    compared = 0
    for base in (one for one in plan.arms if one.arm.recipe == BASE):
        found = list(_compared(plan, base))
        compared += len(found)
        clear = [(gain, one) for gain, one in found if gain.low > 1]
        if clear:
            top = max(clear, key=lambda pair: pair[0].mean)
            best = top if best is None or top[0].mean > best[0].mean else best
    if best is None:
        if compared:
            yield (
                f"No recipe has clearly more groups with signal per rollout than {BASE} with the same group size in "
                f"{plan.settings.words}: the interval of each ratio reaches down to 1."
            )
        return
    gain, arm = best
    equals = [one.arm.recipe for one in _like(plan, arm)]
    also = f" Not told apart from it: {', '.join(equals)}." if equals else ""
    yield (
        f"{arm.arm.recipe} with group size {arm.arm.size} has {gain.mean:.2f} times ({gain.low:.2f}-{gain.high:.2f}) "
        f"as many groups with signal per rollout as {BASE} with the same size, in {plan.settings.words}.{also}"
    )


def _compared(plan: Plan, base: ArmPlan) -> Iterator[tuple[Interval, ArmPlan]]:
    """The other recipes at the same group size, with their ratio to plain GRPO."""
    for one in plan.arms:
        if one.arm.size == base.arm.size and one is not base:
            found = ratio(one, base, "signal_per_rollout")
            if found is not None and np.isfinite(found.low):
                yield found, one


def _like(plan: Plan, arm: ArmPlan) -> Sequence[ArmPlan]:
    """Recipes at the same size whose ratio to this one is not clearly below 1."""
    return [one for gain, one in _compared(plan, arm) if gain.high >= 1]


def _own_sizes(plan: Plan) -> Iterator[str]:
    """Recipes whose group sizes are their own, against plain GRPO at the best size that is planned.

    Groups of other sizes have signal at another rate, so the reward variance per rollout is compared.
    """
    own = [one for one in plan.arms if one.arm.size is None and not is_single(one.arm.config)]
    bases = [(found.mean, one) for one in plan.arms if one.arm.recipe == BASE if (found := interval(one, VARIANCE))]
    if not bases:
        return
    base = max(bases, key=lambda pair: pair[0])[1]
    for one in own:
        found = ratio(one, base, VARIANCE)
        rollouts = interval(one, "rollouts")
        if found is None or rollouts is None or not np.isfinite(found.low):
            continue
        times = f"{found.mean:.2f} times ({found.low:.2f}-{found.high:.2f})"
        sentence = (
            f"{one.arm.recipe}, which sizes its groups itself, has {times} the reward variance per rollout of {BASE} "
            f"with group size {base.arm.size}"
        )
        if profile := profile_rollouts(one, plan.rates):
            with_profile = found.mean * rollouts.mean / (rollouts.mean + profile)
            sentence += f", and {with_profile:.2f} times with the {grouped(profile)} rollouts of its profile counted"
        yield sentence + "."


def _what_it_costs(plan: Plan) -> Iterator[str]:
    """What becomes of the rollouts of plain GRPO."""
    base = next((one for one in plan.arms if one.arm.recipe == BASE), None)
    if base is None:
        return
    wrong, correct = interval(base, "all_wrong"), interval(base, "all_correct")
    rollouts = interval(base, "rollouts")
    assert wrong is not None, "grpo has groups"
    assert correct is not None, "grpo has groups"
    assert rollouts is not None, "every plan has rollouts"
    yield (
        f"{BASE} with group size {base.arm.size} takes {grouped(rollouts.mean)} rollouts for {plan.settings.words}; of "
        f"its groups {percent(wrong.mean)} are all wrong and {percent(correct.mean)} all correct, and have no signal."
    )
