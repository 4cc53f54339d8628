"""Hand tables and properties of the advantage estimators."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.estimators import ESTIMATORS, batch_standardize, dr_grpo, grpo, rloo

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
]

FUNCTIONS = [grpo, dr_grpo, rloo, batch_standardize]
rewards_lists = st.lists(st.floats(-100, 100).map(lambda reward: round(reward, 3)), min_size=1, max_size=16)


@pytest.mark.parametrize(("function", "rewards", "expected"), TABLE)
def test_hand_table(function, rewards, expected):
    assert function(rewards) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_one_virtual_failure_in_sixteen_gives_one_over_root_k():
    assert grpo([1.0] * 16 + [0.0])[:16] == pytest.approx([0.25] * 16, rel=1e-6)
    assert dr_grpo([1.0] * 16 + [0.0])[:16] == pytest.approx([1 / 17] * 16, rel=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("rewards", [[], [1.0], [0.1] * 3, [0.7] * 10, [0, 0, 0, 0], [-2.3, -2.3]])
def test_equal_rewards_give_exact_zeros(function, rewards):
    assert function(rewards) == [0.0] * len(rewards)


def test_rewards_equal_up_to_rounding_give_no_real_advantage():
    assert max(map(abs, grpo([0.1 + 0.2, 0.3, 0.3, 0.3]))) < 1e-7


@pytest.mark.parametrize("function", FUNCTIONS)
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


def test_the_table_says_who_is_compared_with_whom():
    assert {name: (entry.function, entry.scope) for name, entry in ESTIMATORS.items()} == {
        "grpo": (grpo, "group"),
        "dr_grpo": (dr_grpo, "group"),
        "rloo": (rloo, "group"),
        "batch_standardize": (batch_standardize, "batch"),
    }
