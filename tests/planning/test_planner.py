"""Plans: closed forms by hand and against the scheduler itself, learning, intervals, and advice."""

import math

import numpy as np
import pytest

from rekindle.planning.advice import advice, samples_to_measure
from rekindle.planning.belief import RateBelief, believe
from rekindle.planning.closed_form import closed_form_totals
from rekindle.planning.gains import GAIN, drawn_gains, fitted_gain
from rekindle.planning.measures import MEASURES, flops_of, interval, profile_rollouts, ratio
from rekindle.planning.pass_rates import PassRates, grouped_rates
from rekindle.planning.plan_recipes import Arm, arms_of, has_closed_form, is_single
from rekindle.planning.planner import PlanSettings, make_plan
from rekindle.planning.signal import beta_share
from rekindle.planning.simulated_policy import UNEVENNESS, LearningPolicy, rate_of, step_odds
from rekindle.planning.simulation import simulated_totals
from rekindle.planning.totals import Horizon, Totals, interval_of
from rekindle.recipes import RECIPES
from rekindle.types import GroupRequest

EPOCH = Horizon(groups=512)


def rates_of(successes, samples, prompts=1, **known):
    right, asked, number, lengths = grouped_rates(successes, samples, prompts, where="counts")
    return PassRates(successes=right, samples=asked, prompts=number, sampled_tokens=lengths, **known)


def counts_of(a=0.5, b=0.7, samples=8, prompts=512, seed=0, **known):
    rng = np.random.default_rng(seed)
    return rates_of(rng.binomial(samples, rng.beta(a, b, prompts)), np.full(prompts, samples), **known)


def settings(prompts=512, gain=0.0, horizon=EPOCH):
    return PlanSettings(prompts=prompts, horizon=horizon, words="one epoch", gain=gain, gain_known=True)


def arm(recipe, size=4, groups=None):
    (found,), _ = arms_of([recipe], [size], groups)
    return found


def planned(recipes, sizes=(4,), gain=0.0, rates=None, groups=16, prompts=512):
    found, left_out = arms_of(recipes, sizes, groups)
    horizon = Horizon(groups=prompts)
    plan = make_plan(rates or counts_of(), found, settings(prompts, gain, horizon))
    plan.left_out += left_out
    return plan


# -- closed forms -----------------------------------------------------------------------------------------------------


def test_an_epoch_of_grpo_by_hand():
    """Rates from Beta(1, 1) with 0 samples' worth of certainty: of pairs a third are mixed, by E[2 p (1 - p)] = 1/3."""
    rates = rates_of([1], [2], [512])
    belief = RateBelief(rates, np.tile([1e-12, 1e-12, 1.0], (400, 1)), np.ones(400), np.ones(400))
    one = closed_form_totals(arm("grpo", 2, 16).config, belief, np.zeros(400), EPOCH, 512, 0)
    assert (one.steps == 32).all()
    assert (one.groups == 512).all()
    assert (one.rollouts == 1024).all()
    assert one.with_signal.mean() / 512 == pytest.approx(beta_share(2, 2, 2), abs=0.005)
    assert one.with_signal.std() == pytest.approx(math.sqrt(512 * 0.4 * 0.6), rel=0.15)
    # Each mixed pair has (1/2)^2 + (1/2)^2 of variance.
    assert one.variance.mean() == pytest.approx(512 * 0.4 / 2, rel=0.01)
    assert one.trained == pytest.approx(one.with_signal)


@pytest.mark.parametrize("recipe", ["grpo", "dapo", "bounded_dapo", "rl_zvp", "c_rf_ntf"])
@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_the_closed_form_is_what_the_scheduler_does(recipe, gain):
    """One draw that is true, and runs of the real scheduler on it."""
    one = arm(recipe, 4, 16)
    assert has_closed_form(one.config, 512)
    rates = counts_of()
    belief = believe(rates, draws=1)
    repeated = RateBelief(rates, *(np.repeat(part, 40, axis=0) for part in (belief.shares, belief.a, belief.b)))
    expected = closed_form_totals(one.config, repeated, np.full(40, gain), EPOCH, 512, 0)
    runs = Totals.joined([simulated_totals(one.config, repeated, draw, gain, EPOCH, 512) for draw in range(8)])
    for name in ("all_wrong", "all_correct", "trained", "steps", "rollouts", "rows", "variance", "ability"):
        ours, theirs = getattr(expected, name), getattr(runs, name)
        spread = math.hypot(ours.std() / math.sqrt(40), theirs.std(ddof=1) / math.sqrt(8))
        assert abs(ours.mean() - theirs.mean()) < 4.5 * spread + 0.02 * ours.mean() + 1e-9, name


def test_a_policy_that_learns_solves_more():
    plan = planned(["grpo"], gain=0.5)
    (one,) = plan.arms
    assert one.frozen is not None
    assert one.faster is not None
    correct = [totals.all_correct.mean() for totals in (one.frozen, one.totals, one.faster)]
    assert correct == sorted(correct)
    assert one.frozen.ability.max() == 0 < one.totals.ability.min()


def test_a_rollout_is_right_where_each_of_three_steps_is():
    policy = LearningPolicy([0.512, 0.125, 0.0, 1.0])
    assert policy.rate(0, 0, 1.0) == pytest.approx(0.8**3, rel=1e-6)
    assert policy.rate(1, 0, 1.0) == pytest.approx(0.5**3)
    assert policy.rate(0, 0, 2.0) == pytest.approx((2 / 3) ** 3, rel=1e-6)  # a step's odds 4 -> 4 ** (1 / 2)
    assert (policy.rate(2, 0, 1.0), policy.rate(3, 0, 1.0)) == (0, 1)


def test_prompts_learn_unevenly_around_the_ability():
    policy = LearningPolicy(np.full(5000, 0.125), seed=3)
    policy.learn(1.5)
    policy.learn(0.5)
    odds = np.array([float(step_odds(policy.rate(row, 2, 1.0))) for row in range(5000)])
    assert odds.mean() == pytest.approx(2.0, abs=4 * UNEVENNESS * math.sqrt(2 / 5000))
    assert odds.std() == pytest.approx(UNEVENNESS * math.sqrt(2), rel=0.04)
    assert policy.rate(7, 2, 1.0) == policy.rate(7, 2, 1.0) == policy.rate(7, 1, 1.0)  # an older version: as it stands


def test_rollouts_depend_on_the_seed_of_the_request():
    policy = LearningPolicy([0.5])
    request = GroupRequest(id=0, task_id="0", row=0, n=4000, temperature=1.0, seed=5, version=0, step=1)
    assert np.mean([one.reward for one in policy.play(request)]) == pytest.approx(0.5, abs=0.03)
    assert [one.reward for one in policy.play(request)] == [one.reward for one in policy.play(request)]


# -- recipes ----------------------------------------------------------------------------------------------------------


def test_every_recipe_is_planned_or_its_absence_said():
    plan = planned(list(RECIPES), groups=8, prompts=96)
    said = " ".join(plan.left_out)
    assert {one.arm.recipe for one in plan.arms} | {name for name in RECIPES if name in said} == set(RECIPES)
    for one in plan.arms:
        assert (interval(one, "with_signal") is None) == is_single(one.arm.config)
        assert interval(one, "rollouts") is not None


def test_steps_keep_the_proportions_of_the_recipes():
    assert arm("grpo", 4, 32).config.train.groups_per_step == 32
    assert arm("rekindle", 4, 32).config.train.groups_per_step == 8
    assert arm("pods", 4, 32).config.train.groups_per_step == 8


def test_a_size_that_a_recipe_refuses_is_a_sentence():
    found, left_out = arms_of(["grpo", "recycle"], [1, 4], None)
    assert {one.size for one in found if one.recipe == "grpo"} <= {1, 4}
    assert all("group size 1 is refused" in sentence for sentence in left_out)


def test_sgpo_without_anything_to_learn_is_a_sentence():
    plan = planned(["grpo", "sgpo"], rates=rates_of([8] * 100, [8] * 100))
    assert [one.arm.recipe for one in plan.arms] == ["grpo"]
    assert any(sentence.startswith("sgpo cannot be planned: ") for sentence in plan.left_out)


def test_an_epoch_of_sgpo_is_one_pass_and_has_the_profile_s_cost():
    plan = planned(["grpo", "sgpo"])
    grpo, sgpo = plan.arms
    assert profile_rollouts(grpo, plan.rates) == 0
    assert profile_rollouts(sgpo, plan.rates) == 512 * 8
    assert sgpo.totals.groups.max() < 1024


@pytest.mark.parametrize(
    ("horizon", "steps", "rollouts"),
    [(Horizon(steps=7), 7, 7 * 64), (Horizon(rollouts=100), 2, 128), (Horizon(rollouts=10**6, steps=3), 3, 192)],
)
def test_a_plan_ends_after_whole_steps(horizon, steps, rollouts):
    found, _ = arms_of(["grpo", "erpo"], [4], 16)
    plan = make_plan(counts_of(), found, settings(horizon=horizon))
    for one in plan.arms:
        assert one.totals.steps == pytest.approx(steps)
        assert one.totals.rollouts == pytest.approx(rollouts)


def test_pools_smaller_than_a_step_are_simulated():
    found, _ = arms_of(["grpo"], [4], 64)
    plan = make_plan(rates_of([1, 2, 3, 0, 4], [4] * 5), found, settings(5, horizon=Horizon(groups=5)))
    assert plan.arms[0].simulated
    assert (plan.arms[0].totals.groups == 5).all()


def test_an_interrupted_plan_keeps_what_is_finished():
    found, _ = arms_of(["grpo", "recycle", "erpo"], [4], 16)
    names = []
    plan = make_plan(counts_of(), found, settings(), lambda name, _: names.append(name), lambda: "erpo" in names[-1])
    assert plan.interrupted
    assert [one.arm.recipe for one in plan.arms] == ["grpo", "recycle"]


# -- numbers ----------------------------------------------------------------------------------------------------------


def totals(**values):
    one = Totals.zeros(3)
    for name, value in values.items():
        setattr(one, name, np.full(3, float(value)))
    return one


def test_measures_by_hand():
    one = totals(groups=100, all_wrong=30, all_correct=20, trained=40, rollouts=400, variance=60)
    found = {name: measure(one)[0] for name, measure in MEASURES.items()}
    assert found["with_signal"] == 0.5
    assert (found["all_wrong"], found["all_correct"]) == (0.3, 0.2)
    assert (found["rollouts_per_signal"], found["signal_per_rollout"]) == (10, 0.1)
    assert found["variance_per_rollout"] == 0.15


def test_flops_by_hand():
    """P = 5, prompts of 3 and completions of 2 tokens; 10 groups of 4, of which one half is trained on.

    Ours: 2 (80 + 30) + 6 (20 x 2 + 5 x 3) tokens times 5. The paper's: 12 x 40 x 5 tokens times 5.
    """
    plan = planned(["grpo"], rates=counts_of(prompt_tokens=3.0))
    (one,) = plan.arms
    rates = plan.rates
    rates.sampled_tokens[:] = 2.0
    found = totals(groups=10, rollouts=40, rows=20, sampled_tokens=80)
    cost = flops_of(type(one)(one.arm, found, simulated=False), rates, 5)
    assert cost is not None
    ours, paper = cost
    assert ours.mean == 5 * (2 * (80 + 30) + 6 * (40 + 15))
    assert paper.mean == 12 * 40 * 5 * 5
    assert flops_of(one, rates, 0) is None


def test_limits_of_few_values_are_student_s():
    """Two values 1 and 3: mean 2, standard deviation sqrt 2, limits 2 -+ 12.706 sqrt(2) sqrt(3/2), not below 0."""
    found = interval_of(np.array([1.0, 3.0]))
    assert (found.mean, found.low) == (2.0, 0.0)
    assert found.high == pytest.approx(2 + 12.706 * math.sqrt(2) * math.sqrt(1.5))
    assert math.isnan(interval_of(np.array([1.0])).low)
    assert math.isnan(interval_of(np.array([np.nan])).mean)
    assert interval_of(np.arange(1000.0)).low == pytest.approx(24.975)


def test_the_ratio_of_a_recipe_to_itself_is_one():
    (one,) = planned(["grpo"]).arms
    found = ratio(one, one, "signal_per_rollout")
    assert found is not None
    assert (found.mean, found.low, found.high) == (1, 1, 1)


def test_the_gain_of_simulated_visits_is_found():
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0, 10, 20_000)
    odds = (
        rng.normal(0, 1.5, 20_000) + 0.2 * amounts + UNEVENNESS * np.sqrt(0.2 * amounts) * rng.standard_normal(20_000)
    )
    samples = np.full(20_000, 4)
    successes = rng.binomial(samples, rate_of(odds))
    assert fitted_gain(amounts, successes, samples) == pytest.approx(0.2, rel=0.15)
    assert fitted_gain(10 - amounts, successes, samples) == pytest.approx(GAIN / 100)
    assert fitted_gain(amounts[:50], successes[:50], samples[:50]) is None
    assert fitted_gain(amounts, np.minimum(successes, 1), np.ones(20_000, int)) is None


def test_few_visits_say_little_of_the_gain():
    rng = np.random.default_rng(1)
    amounts, successes = rng.uniform(0, 4, 120), rng.binomial(4, 0.02, 120)
    assert fitted_gain(amounts, successes, np.full(120, 4)) == pytest.approx(GAIN, rel=0.7)


def test_any_first_few_gains_are_spread():
    gains = drawn_gains(0.1, 200, known=False)
    assert gains[0] == pytest.approx(0.1)
    for few in (7, 15, 127):
        assert np.median(gains[:few]) == pytest.approx(0.1)
        assert len(np.unique(gains[:few])) == few
    assert np.quantile(gains, [0.025, 0.975]) == pytest.approx([0.1 / 2.5, 0.1 * 2.5], rel=0.1)
    assert set(drawn_gains(0.3, 5, known=True)) == {0.3}


# -- advice -----------------------------------------------------------------------------------------------------------


def test_few_samples_are_to_be_believed_after_more():
    plan = planned(["grpo"], rates=rates_of([0, 1, 2], [2, 2, 2], [41, 6, 4]))
    first, *_ = advice(plan)
    assert first.startswith("41 of 51 prompts were never solved in at most 2 samples: between ")
    assert samples_to_measure(plan.belief) in {4, 8, 16}
    assert f"Measure {samples_to_measure(plan.belief)} samples" in first


def test_enough_samples_are_believed():
    assert samples_to_measure(believe(counts_of(samples=32))) is None


def test_a_recipe_is_recommended_where_it_is_clearly_better_and_none_where_it_is_not():
    better = " ".join(advice(planned(["grpo", "posterior_recycle"], rates=counts_of(prompts=512, samples=16))))
    assert "posterior_recycle with group size 4 has 1." in better
    none = " ".join(advice(planned(["grpo", "dr_grpo", "rloo"])))
    assert "No recipe has clearly more groups with signal per rollout than grpo" in none


def test_advice_says_what_plain_grpo_costs():
    *_, last = advice(planned(["grpo"]))
    assert last.startswith("grpo with group size 4 takes 2,048 rollouts for one epoch; of its groups ")


def test_recipes_with_sizes_of_their_own_are_compared_by_reward_variance():
    plan = planned(["grpo", "sgpo"], rates=counts_of(prompts=512, samples=16))
    words = next(line for line in advice(plan) if line.startswith("sgpo, which sizes its groups itself, has "))
    base, own = plan.arms
    found = ratio(own, base, "variance_per_rollout")
    assert found is not None
    assert (
        f"has {found.mean:.2f} times ({found.low:.2f}-{found.high:.2f}) the reward variance per rollout of grpo"
        in words
    )
    paid = own.totals.rollouts.mean()
    assert f"and {found.mean * paid / (paid + 8192):.2f} times with the 8,192 rollouts of its profile counted." in words


def test_without_grpo_there_is_nothing_to_compare_with():
    assert advice(planned(["erpo"], rates=counts_of(samples=32))) == []


def test_an_arm_has_a_name():
    assert Arm("grpo", 4, arm("grpo").config).name == "grpo, groups of 4"
    assert arm("sgpo").name == "sgpo"
