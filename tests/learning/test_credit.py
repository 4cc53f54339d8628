"""The stages between rewards and tokens, each by hand and each off."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_cases import advantages_of, group, rewarded, rollout, samples_of

from rekindle.learning.aggregation import group_token_mean, sequence_mean
from rekindle.learning.credit import OffTemperature, Reactivation
from rekindle.learning.subsets import Subset, balanced, max_variance
from rekindle.scheduling.history import History
from rekindle.scheduling.temperatures import residual_heating
from rekindle.types import Outcome

HOT, HOTTEST = 1.1, 1.2


def virtual_failure(**changes):
    return Reactivation("virtual_failure", base=1.0, maximum=HOTTEST, **changes)


# -- reactivation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 4, 16])
@pytest.mark.parametrize(
    ("estimator", "advantage"),
    [
        ("grpo", lambda k: 1 / math.sqrt(k)),
        ("dr_grpo", lambda k: 1 / (k + 1)),
        ("rloo", lambda k: 1 / k),
        ("maxrl", lambda k: 1 / k),
    ],
)
def test_hot_and_still_all_correct_gets_the_advantage_beside_one_failure(estimator, advantage, size):
    solved = rewarded(0, *[1] * size, temperature=HOT)
    revived = advantages_of([solved], estimator, reactivation=virtual_failure())
    assert revived == pytest.approx([advantage(size)] * size, rel=1e-6)


def test_the_virtual_failure_has_no_tokens_no_loss_and_no_weight():
    groups = [rewarded(0, 1, 1, temperature=HOT), rewarded(1, 1, 0, temperature=1.0)]
    plain, revived = samples_of(groups), samples_of(groups, reactivation=virtual_failure())
    assert [sample.weight for sample in revived] == [sample.weight for sample in plain]
    assert revived[2:] == plain[2:]


@pytest.mark.parametrize(
    ("rewards", "temperature"),
    [((1, 1, 1), 1.0), ((1, 0, 1), HOT), ((0, 0, 0), HOT), ((1, 0, 1), 1.0), ((0, 0, 0), 1.0)],
    ids=["solved, not hot", "mixed, hot", "failed, hot", "mixed", "failed"],
)
@pytest.mark.parametrize("kind", ["virtual_failure", "constant"])
def test_every_other_group_keeps_its_advantages_bit_for_bit(kind, rewards, temperature):
    groups = [rewarded(0, *rewards, temperature=temperature)]
    rule = Reactivation(kind, base=1.0, maximum=HOTTEST, decay=True)
    assert samples_of(groups, reactivation=rule) == samples_of(groups)


def test_a_group_is_reactivated_beside_others_as_it_is_alone():
    hot, mixed = rewarded(0, 1, 1, 1, 1, temperature=HOT), rewarded(1, 1, 0, temperature=HOT)
    assert advantages_of([mixed, hot], reactivation=virtual_failure()) == pytest.approx([1, -1, *[0.5] * 4])


@pytest.mark.parametrize("estimator", ["grpo", "dr_grpo"])
def test_a_constant_does_not_depend_on_the_group(estimator):
    rule = Reactivation("constant", base=1.0, maximum=HOTTEST, constant=0.3)
    groups = [rewarded(0, 1, 1, temperature=HOT), rewarded(1, *[1] * 5, temperature=HOTTEST)]
    assert advantages_of(groups, estimator, reactivation=rule) == [0.3] * 7


@pytest.mark.parametrize(
    ("temperature", "heat", "factor"), [(HOTTEST, 4, 1 / 5), (HOTTEST, 9, 1 / 10), (1.15, 3, 1), (HOT, 9, 1)]
)
@pytest.mark.parametrize("kind", ["virtual_failure", "constant"])
def test_decay_divides_by_one_plus_the_streak_at_the_highest_temperature_only(kind, temperature, heat, factor):
    solved = [rewarded(0, 1, 1, 1, 1, temperature=temperature, streak=heat)]
    plain, decayed = (
        advantages_of(solved, reactivation=Reactivation(kind, base=1.0, maximum=HOTTEST, decay=decay))
        for decay in (False, True)
    )
    assert decayed == pytest.approx([factor * advantage for advantage in plain])
    assert plain[0] > 0


@pytest.mark.parametrize(("base", "delta", "maximum"), [(1.0, 0.05, 1.2), (0.7, 0.1, 1.0), (0.6, 0.07, 0.9)])
def test_decay_meets_the_temperatures_that_heating_makes(base, delta, maximum):
    """Sums of floats such as 1 + 4 * 0.05: the last step up has to count as the highest temperature."""
    history, heating = History(["t"]), residual_heating(base, delta, maximum)
    rule = Reactivation("virtual_failure", base=base, maximum=maximum, decay=True)
    factors = []
    for heat in range(7):
        solved = rewarded(0, 1, 1, temperature=heating(history, 0), streak=heat)
        assert rule.applies(solved) == (heat > 0)
        factors.append(rule.factor(solved))
        heating.learn(history, 0, Outcome.ALL_CORRECT)
    reached = math.ceil((maximum - base) / delta - 1e-9)
    assert factors == [1 / (1 + heat) if heat >= reached else 1.0 for heat in range(7)]


# -- subsets ----------------------------------------------------------------------------------------------------------


def pods(size):
    return Subset(lambda rewards: max_variance(rewards, size), "selected")


def reinforce_ada(size):
    return Subset(lambda rewards: balanced(rewards, size), "all")


def test_pods_compares_the_selected_with_one_another():
    """1 0 0 0 1 0 keeps its first right and its first wrong rollout, of rewards 1 and 0."""
    samples = samples_of([rewarded(0, 1, 0, 0, 0, 1, 0)], "grpo", subset=pods(2))
    assert [sample.advantages[-1] for sample in samples] == pytest.approx([1, -1])


def test_reinforce_ada_compares_with_all_that_were_drawn():
    """1 0 0 0: mean 1/4, std sqrt(3)/4; of the three failures one is trained on."""
    samples = samples_of([rewarded(0, 1, 0, 0, 0)], "grpo", subset=reinforce_ada(2))
    assert [sample.advantages[-1] for sample in samples] == pytest.approx([math.sqrt(3), -1 / math.sqrt(3)])


@pytest.mark.parametrize("make", [pods, reinforce_ada])
def test_rollouts_left_out_give_no_sample_and_no_denominator(make):
    wide = group(0, rollout(1, 2), rollout(0, 3), rollout(0, 50), rollout(1, 70))
    small = group(1, rollout(1, 5), rollout(0, 5))
    samples = samples_of([wide, small], aggregation=group_token_mean, subset=make(2))
    assert [sample.token_ids for sample in samples] == [
        rollout.token_ids for rollout in (*wide.rollouts[:2], *small.rollouts)
    ]
    assert [sample.weight for sample in samples] == pytest.approx([1 / 10, 1 / 10, 1 / 20, 1 / 20])
    assert [sample.prompt_key for sample in samples] == [0, 0, 1, 1]


def test_a_subset_and_a_batch_estimator():
    """PODS whitens over what is trained (1 0 1 0); with the baseline of all, over 1 0 0 0 1 0."""
    groups = [rewarded(0, 1, 0, 0, 0), rewarded(1, 1, 0)]
    assert advantages_of(groups, "batch_standardize", subset=pods(2)) == pytest.approx([1, -1, 1, -1])
    up, down = math.sqrt(2), -1 / math.sqrt(2)
    assert advantages_of(groups, "batch_standardize", subset=reinforce_ada(2)) == pytest.approx([up, down, up, down])


@pytest.mark.parametrize("make", [pods, reinforce_ada])
def test_a_subset_that_is_large_enough_is_no_subset(make):
    groups = [rewarded(0, 1, 0, 0, 0.5), rewarded(1, 1, 1)]
    assert samples_of(groups, subset=make(4)) == samples_of(groups)


# -- the filter on negatives ------------------------------------------------------------------------------------------

TURNS = [-0.1, -2.0, -0.3, -1.0, -0.2]
"""Behaviour log-probabilities of five sampled tokens; a tool's token stands before the last of them."""


@pytest.mark.parametrize(
    ("keep_ratio", "learning"),
    [
        (0.1, [0, 1, 0, 0, 0, 0]),
        (0.2, [0, 1, 0, 0, 0, 0]),
        (0.3, [0, 1, 0, 1, 0, 0]),
        (0.6, [0, 1, 1, 1, 0, 0]),
        (0.8, [0, 1, 1, 1, 0, 1]),
        (0.81, [1, 1, 1, 1, 0, 1]),
        (1.0, [1, 1, 1, 1, 0, 1]),
    ],
)
def test_of_a_negative_rollout_the_least_likely_tokens_of_all_turns_learn(keep_ratio, learning):
    good, bad = rollout(1, 5, hole=True, logprobs=TURNS), rollout(0, 5, hole=True, logprobs=TURNS)
    kept, filtered = samples_of([group(0, good, bad)], "dr_grpo", negative_keep_ratio=keep_ratio)
    assert kept.advantages == [0, 0, 0.5, 0.5, 0.5, 0.5, 0, 0.5]
    assert filtered.advantages == [0, 0, *(-0.5 * learns for learns in learning)]


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 2.0])
def test_all_negative_advantages_are_scaled(beta):
    groups = [rewarded(0, 1, 0), rewarded(1, 0, 0), rewarded(2, 1, 1)]
    assert advantages_of(groups, "dr_grpo", negative_scale=beta) == [0.5, -0.5 * beta, 0, 0, 0, 0]
    assert advantages_of(groups, "reinforce", negative_scale=beta) == [1, 0, 0, 0, 1, 1]
    scales = [sample.entropy_scale for sample in samples_of(groups, zero_variance_scale=0.2, negative_scale=beta)]
    assert scales == [0, 0, *[-0.2 * beta] * 2, 0.2, 0.2], "those of RL-ZVP too"


def test_the_scale_and_the_filter_go_together():
    good, bad = rollout(1, 5, hole=True, logprobs=TURNS), rollout(0, 5, hole=True, logprobs=TURNS)
    _, filtered = samples_of([group(0, good, bad)], "dr_grpo", negative_keep_ratio=0.3, negative_scale=0.5)
    assert filtered.advantages == [0, 0, 0, -0.25, 0, -0.25, 0, 0]


@pytest.mark.parametrize("name", ["c_rf", "batch_standardize"])
def test_a_scale_of_one_changes_no_bit(name):
    groups = [rewarded(key, key % 2, length=key + 1) for key in range(5)]
    assert samples_of(groups, name, negative_scale=1.0) == samples_of(groups, name)


def test_sides_are_kept_where_the_scale_takes_their_advantage():
    """Otherwise positives only would be a batch with one side, and have twice the advantage."""
    samples = samples_of([rewarded(0, 1), rewarded(1, 0)], "c_rf", negative_scale=0.0)
    assert [(sample.side, sample.advantages[-1]) for sample in samples] == [(1, 1.0), (-1, 0.0)]
    assert {sample.side for sample in samples_of([rewarded(0, 1, 0)], "grpo")} == {0}


def test_truncated_weights_are_for_every_rollout_without_a_weight_of_its_own():
    groups = [rewarded(0, 1, 0, temperature=1.0), rewarded(1, 1, 0, temperature=HOT)]
    elsewhere = OffTemperature("importance", base=1.0, cap=3.0)
    assert [one.importance_cap for one in samples_of(groups, tis_cap=2.0)] == [2.0] * 4
    both = samples_of(groups, tis_cap=2.0, off_temperature=elsewhere)
    assert [one.importance_cap for one in both] == [2.0, 2.0, 3.0, 3.0]
    assert [one.behaviour_temperature for one in both] == [1.0, 1.0, HOT, HOT]


def test_dropped_tokens_count_in_every_length():
    groups = [group(0, rollout(1, 2), rollout(0, 5, logprobs=TURNS)), group(1, rollout(0, 4))]
    for aggregation in (sequence_mean, group_token_mean):
        plain = samples_of(groups, "c_rf", aggregation)
        filtered = samples_of(groups, "c_rf", aggregation, negative_keep_ratio=0.1)
        assert [sample.weight for sample in filtered] == [sample.weight for sample in plain]
        assert [sample.loss_mask for sample in filtered] == [sample.loss_mask for sample in plain]


def test_equally_likely_tokens_are_kept_in_the_order_sampled():
    _, filtered = samples_of([group(0, rollout(1, 4), rollout(0, 4))], "dr_grpo", negative_keep_ratio=0.5)
    assert filtered.advantages == [0, 0, -0.5, -0.5, 0, 0]


@given(
    st.lists(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from(["grpo", "batch_standardize", "c_rf", "shrunk_baseline"]),
    st.floats(0.951, 1.0),
)
def test_a_ratio_that_keeps_every_token_is_no_filter(batch, estimator, keep_ratio):
    groups = [group(key, *(rollout(good, length) for good, length in rows)) for key, rows in enumerate(batch)]
    assert samples_of(groups, estimator, negative_keep_ratio=keep_ratio) == samples_of(groups, estimator)


# -- temperature ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "hot", "cold"),
    [
        (None, (HOT, 0.0), (1.0, 0.0)),
        (OffTemperature("importance", base=1.0, cap=3.0), (1.0, 3.0), (1.0, 0.0)),
        (OffTemperature("ignore", base=1.0, cap=3.0), (1.0, 0.0), (1.0, 0.0)),
    ],
    ids=["tempered", "importance", "ignore"],
)
def test_modes_change_the_temperature_and_the_cap_of_hot_rollouts_only(mode, hot, cold):
    groups = [rewarded(0, 1, 0, temperature=HOT), rewarded(1, 1, 0, temperature=1.0)]
    samples = samples_of(groups, off_temperature=mode)
    assert [(sample.temperature, sample.importance_cap) for sample in samples] == [hot, hot, cold, cold]
    assert [sample.advantages for sample in samples] == [sample.advantages for sample in samples_of(groups)]


def test_a_topped_up_group_may_hold_both_temperatures():
    mixed = group(0, rollout(1, 1, temperature=HOT), rollout(0, 1, temperature=1.0))
    hot, cold = samples_of([mixed], off_temperature=OffTemperature("importance", base=1.0))
    assert (hot.temperature, hot.importance_cap, cold.temperature, cold.importance_cap) == (1.0, 2.0, 1.0, 0.0)


# -- entropy ----------------------------------------------------------------------------------------------------------


def test_groups_without_signal_are_shaped_by_entropy_with_the_sign_of_their_outcome():
    groups = [rewarded(0, 1, 1), rewarded(1, 0, 0), rewarded(2, 1, 0)]
    samples = samples_of(groups, zero_variance_scale=0.2)
    assert [sample.entropy_scale for sample in samples] == [0.2, 0.2, -0.2, -0.2, 0.0, 0.0]
    assert [sample.advantages[-1] for sample in samples] == pytest.approx([0, 0, 0, 0, 1, -1])
    assert {math.copysign(1, sample.entropy_scale) for sample in samples_of(groups)} == {1.0}
