"""Hand tables and properties of the estimators that compare plain rewards."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.estimators import batch_standardize, dr_grpo, grpo, maxrl, reactivate, rloo
from rekindle.types import UserError

ROOT3 = math.sqrt(3)

TABLE = [
    # mu = 1/4, sigma = sqrt(3)/4
    (grpo, [1, 0, 0, 0], [ROOT3, -1 / ROOT3, -1 / ROOT3, -1 / ROOT3]),
    (grpo, [1, 1, 0, 0], [1, 1, -1, -1]),
    (grpo, [0, 1, 2], [-math.sqrt(1.5), 0, math.sqrt(1.5)]),
    (dr_grpo, [1, 0, 0, 0], [0.75, -0.25, -0.25, -0.25]),
    (dr_grpo, [0.5, -0.5], [0.5, -0.5]),
    # each minus the mean of the others: 1 - 0, and three times 0 - 1/3
    (rloo, [1, 0, 0, 0], [1, -1 / 3, -1 / 3, -1 / 3]),
    (rloo, [3, 1], [2, -2]),
    (batch_standardize, [1, 0, 0, 0], [ROOT3, -1 / ROOT3, -1 / ROOT3, -1 / ROOT3]),
    (batch_standardize, [2, 4, 4, 4, 5, 5, 7, 9], [-1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2]),
    # one success in K weighs K - 1
    (maxrl, [1, 0, 0, 0], [3, -1, -1, -1]),
    (maxrl, [1, 1, 1, 0], [1 / 3, 1 / 3, 1 / 3, -1]),
    (maxrl, [0.5, 1.5], [-0.5, 0.5]),
]

CENTRED = [grpo, dr_grpo, rloo, batch_standardize]
rewards_lists = st.lists(st.floats(-100, 100).map(lambda reward: round(reward, 3)), min_size=1, max_size=16)


@pytest.mark.parametrize(("function", "rewards", "expected"), TABLE)
def test_hand_table(function, rewards, expected):
    assert function(rewards) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("function", CENTRED)
@pytest.mark.parametrize("rewards", [[], [1.0], [0.1] * 3, [0.7] * 10, [0, 0, 0, 0], [-2.3, -2.3]])
def test_equal_rewards_give_exact_zeros(function, rewards):
    assert function(rewards) == [0.0] * len(rewards)


@pytest.mark.parametrize("rewards", [[], [1.0], [0.1] * 3, [0.0] * 5])
def test_maxrl_of_equal_rewards_is_exactly_zero(rewards):
    assert maxrl(rewards) == [0.0] * len(rewards)


def test_rewards_equal_up_to_rounding_give_no_real_advantage():
    assert max(map(abs, grpo([0.1 + 0.2, 0.3, 0.3, 0.3]))) < 1e-7


@pytest.mark.parametrize("function", CENTRED)
@settings(deadline=None)
@given(rewards=rewards_lists)
def test_advantages_sum_to_zero_and_keep_the_order_of_rewards(function, rewards):
    advantages = function(rewards)
    assert len(advantages) == len(rewards)
    assert math.fsum(advantages) == pytest.approx(0, abs=1e-6)
    for reward, advantage in zip(rewards, advantages, strict=True):
        for other, its in zip(rewards, advantages, strict=True):
            assert reward <= other or advantage > its


@settings(deadline=None)
@given(rewards=rewards_lists, shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
def test_grpo_does_not_see_the_unit_of_rewards(rewards, shift, scale):
    moved = grpo([scale * reward + shift for reward in rewards])
    if max(rewards) > min(rewards):
        assert moved == pytest.approx(grpo(rewards), rel=1e-3, abs=1e-3)


@settings(deadline=None)
@given(rewards=rewards_lists.filter(lambda rewards: len(rewards) > 1))
def test_rloo_is_the_reward_minus_the_mean_of_the_others(rewards):
    others = [(sum(rewards) - reward) / (len(rewards) - 1) for reward in rewards]
    expected = [reward - baseline for reward, baseline in zip(rewards, others, strict=True)]
    assert rloo(rewards) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_maxrl_expects_the_first_terms_of_the_likelihood_gradient(k, p):
    """One logit, grad p = p q; the score of a success is q, of a failure -p. All 2^K outcomes, weighed by chance."""
    q = 1 - p
    expected = p * q * sum(q**power for power in range(k - 1))
    mean_gradient = 0.0
    for rewards in product([1.0, 0.0], repeat=k):
        chance = math.prod(p if reward else q for reward in rewards)
        scores = [q if reward else -p for reward in rewards]
        mean_gradient += chance * sum(a * s for a, s in zip(maxrl(rewards), scores, strict=True)) / k
    assert mean_gradient == pytest.approx(expected)


def test_maxrl_refuses_a_negative_reward():
    with pytest.raises(UserError, match=r"divides by a group's mean reward, and a reward is -0\.5"):
        maxrl([1.0, -0.5])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 16, 64])
def test_one_virtual_failure_beside_k_successes(k):
    assert reactivate([1.0] * k) == pytest.approx([1 / math.sqrt(k)] * k, rel=1e-6)
    assert reactivate([1.0] * k, dr_grpo) == pytest.approx([1 / (k + 1)] * k, rel=1e-12)
    assert reactivate([1.0] * k, rloo) == pytest.approx([1 / k] * k, rel=1e-12)
    assert reactivate([1.0] * k, maxrl) == pytest.approx([1 / k] * k, rel=1e-12)


@pytest.mark.parametrize("reward", [0.6, 1.0, 250.0])
def test_the_virtual_failures_distance_does_not_matter_to_grpo(reward):
    assert reactivate([reward] * 16) == pytest.approx([0.25] * 16, rel=1e-6)


def test_a_virtual_failure_among_failures_changes_nothing():
    assert reactivate([0.0] * 4) == [0.0] * 4
    assert reactivate([]) == []
