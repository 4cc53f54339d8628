"""Expected groups with signal, by hand, by enumeration, and as the scheduler itself finds them."""

import itertools
import math

import numpy as np
import pytest

from rekindle.methods import build_scheduler
from rekindle.planning.frozen_policy import frozen_run
from rekindle.planning.signal import beta_share, counted_share, expected_step
from rekindle.planning.step_costs import RolloutLengths, costs_of
from rekindle.recipes import resolve


def test_the_share_of_counted_samples_is_the_mean_over_all_choices():
    """Of 4 samples with 1 right, 3 of the 6 pairs have both; with 2 right 4, with 0 or 4 none."""
    assert counted_share([1], 4, 2) == 3 / 6
    assert counted_share([2], 4, 2) == pytest.approx(4 / 6)
    assert counted_share([0, 4], 4, 2) == 0
    assert counted_share([1, 0], 4, 2) == 0.25
    assert [counted_share([1], 4, size) for size in (1, 5)] == [None, None]
    assert counted_share([], 4, 2) is None


def test_the_share_of_a_beta_distribution():
    """Uniform rates: E[p^n] = 1 / (n + 1) on both sides. Beta(1/2, 1/2): E[p^2] = (1/2 x 3/2) / (1 x 2) = 3/8."""
    assert [beta_share(1, 1, n) for n in (1, 2, 4)] == pytest.approx([0, 1 / 3, 3 / 5])
    assert beta_share(0.5, 0.5, 2) == pytest.approx(1 - 2 * 3 / 8)
    assert beta_share(0.9, 0.1, 8) == pytest.approx(beta_share(0.1, 0.9, 8))


def test_without_further_draws_a_step_trains_on_what_has_signal():
    step = expected_step(4, 0.25)
    assert (step.asked, step.with_signal, step.trained) == pytest.approx((4, 1, 1))


def test_an_update_teaches_by_the_root_of_its_share_with_signal():
    """Two groups: none, one or both have signal with probability 1/4, 1/2, 1/4."""
    assert expected_step(2, 0.5).rise == pytest.approx(math.sqrt(1 / 2) / 2 + 1 / 4)


def enumerated(groups, share, drawn):
    """E[min(X, groups)] of X ~ Binomial(drawn, share), over all outcomes."""
    return sum(
        min(sum(outcome), groups) * np.prod([share if one else 1 - share for one in outcome])
        for outcome in itertools.product((0, 1), repeat=drawn)
    )


def test_oversampling_trains_on_as_many_as_a_step_wants():
    assert expected_step(3, 0.4, oversample=2).trained == pytest.approx(enumerated(3, 0.4, 6))


def test_a_further_draw_follows_where_too_few_have_signal():
    """Two groups: all of the first draw have signal with probability 1/4, else two more are asked for."""
    step = expected_step(2, 0.5, further_rounds=1)
    assert step.asked == pytest.approx(2 + 2 * 3 / 4)
    assert step.with_signal == pytest.approx(step.asked / 2)
    assert step.trained == pytest.approx(enumerated(2, 0.5, 4))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_certain_outcomes(share):
    step = expected_step(8, share, further_rounds=2)
    assert (step.asked, step.trained, step.rise) == ((8, 8, 1) if share else (24, 0, 0))


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("grpo", {}),
        ("recycle", {"oversample": 2}),
        ("dapo", {"further_rounds": 4}),
    ],
)
def test_the_scheduler_finds_as_many_as_expected(recipe, expected):
    """Prompts with success rates of Beta(0.3, 0.7) in the first steps, before any prompt comes again."""
    groups, size, steps = 32, 8, 25
    config = resolve({"train": {"groups_per_step": groups, "group_size": size, "steps": steps}}, recipe)
    prompts = groups * steps * 5
    rng = np.random.default_rng(1)
    counts = frozen_run(build_scheduler(config, map(str, range(prompts))), rng.beta(0.3, 0.7, prompts), steps, rng)
    step = expected_step(groups, beta_share(0.3, 0.7, size), **expected)
    for key, value in (("asked", step.asked), ("mixed", step.with_signal), ("trained", step.trained)):
        mean = np.mean([one[f"groups/{key}"] for one in counts])
        assert mean == pytest.approx(value, rel=0.07), key


def test_costs_count_prompts_once_per_group():
    """3 groups of 2, of which 1 is trained on: 6 rollouts of 5 + 1 tokens, prompts of 4."""
    step = expected_step(3, 1 / 3)
    costs = costs_of(step, 2, RolloutLengths(prompt=4, sampled=5, read=1), 10)
    assert costs.rollouts == pytest.approx(6)
    assert costs.sampled_tokens == pytest.approx(30)
    assert costs.trained_rows == pytest.approx(2)
    assert costs.update_tokens == pytest.approx(2 * (4 + 5 + 1))
    assert costs.flops == pytest.approx(10 * (2 * (30 + 6 + 3 * 4 + 20) + 6 * 20))
