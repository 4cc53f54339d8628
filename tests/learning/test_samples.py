"""Groups to training samples: a batch worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_cases import advantages_of, group, rollout, samples_of

from rekindle.learning.aggregation import constant_length, group_token_mean, sequence_mean, token_mean
from rekindle.types import UserError

MIXED = group(11, rollout(1, 2), rollout(0, 3, hole=True), rollout(0, 1))
SOLVED = group(5, rollout(1, 4), rollout(1, 2))
ALONE = group(7, rollout(1, 3))


def test_advantages_stand_on_the_trainable_tokens_only():
    samples = samples_of([MIXED], "dr_grpo")
    third = 1 / 3
    assert [sample.advantages for sample in samples] == [
        pytest.approx([0, 0, 2 * third, 2 * third]),
        pytest.approx([0, 0, -third, -third, 0, -third]),
        pytest.approx([0, 0, -third]),
    ]
    assert [sample.weight for sample in samples] == [pytest.approx(1 / 6)] * 3


def test_everything_else_of_a_rollout_is_handed_on():
    sample = samples_of([MIXED])[1]
    source = MIXED.rollouts[1]
    assert sample.token_ids is source.token_ids
    assert sample.loss_mask is source.loss_mask
    assert sample.logprobs is source.logprobs
    assert (sample.temperature, sample.version, sample.prompt_key) == (1.2, 3, 11)
    assert (sample.entropy_scale, sample.importance_cap) == (0.0, 0.0)


def test_a_group_without_signal_counts_in_the_denominators_when_it_is_listed():
    def weights(groups, aggregation):
        return [sample.weight for sample in samples_of(groups, aggregation=aggregation)]

    assert weights([MIXED, SOLVED], group_token_mean) == pytest.approx([1 / 12] * 5)
    assert weights([MIXED], group_token_mean) == pytest.approx([1 / 6] * 3)
    assert weights([MIXED, SOLVED], sequence_mean) == pytest.approx([1 / 10, 1 / 15, 1 / 5, 1 / 20, 1 / 10])
    assert weights([MIXED, SOLVED], constant_length(8)) == pytest.approx([1 / 40] * 5)
    assert all(not any(sample.advantages) for sample in samples_of([MIXED, SOLVED])[3:])


def test_group_and_batch_scope_differ():
    root2 = math.sqrt(2)
    assert advantages_of([MIXED, SOLVED], "grpo") == pytest.approx([root2, -1 / root2, -1 / root2, 0, 0])
    # rewards 1 0 0 1 1: mean .6, std sqrt(.24)
    up, down = 0.4 / math.sqrt(0.24), -0.6 / math.sqrt(0.24)
    whitened = advantages_of([MIXED, SOLVED], "batch_standardize", aggregation=sequence_mean)
    assert whitened == pytest.approx([up, down, down, up, up])


def test_whitening_is_over_what_the_loss_is_a_mean_of():
    """2 3 1 | 4 2 tokens with rewards 1 0 0 | 1 1."""
    groups = [MIXED, SOLVED]
    # over tokens: 8 of 12 have reward 1; mean 2/3, std sqrt(2)/3
    root2 = math.sqrt(2)
    up, down = 1 / root2, -root2
    for mean_over_tokens in (token_mean, constant_length(9)):
        whitened = advantages_of(groups, "batch_standardize", aggregation=mean_over_tokens)
        assert whitened == pytest.approx([up, down, down, up, up])
    # over tokens within a group, over groups: 1/3 and 1, mean 2/3 again
    assert advantages_of(groups, "batch_standardize", aggregation=group_token_mean) == pytest.approx(whitened)


def test_single_rollouts_learn_from_the_batch():
    groups = [group(0, rollout(1, 1)), group(1, rollout(0, 1))]
    assert advantages_of(groups, "batch_standardize") == pytest.approx([1, -1])


def test_the_history_of_a_prompt_reaches_the_estimator():
    """Surprises against the trackers 3/4, 1/4 and 0 of 1: 1/4, -1/4 and 1, hence mean 1/3, std sqrt(19 / 72)."""
    groups = [
        group(0, rollout(1, 1), beta=(3.0, 1.0)),
        group(1, rollout(0, 1), beta=(0.5, 1.5)),
        group(2, rollout(1, 1), beta=(0.0, 1.0)),
    ]
    spread = math.sqrt(19 / 72)
    assert advantages_of(groups, "spo") == pytest.approx([each / spread for each in (-1 / 12, -7 / 12, 2 / 3)])


def test_groups_of_all_sizes_weigh_the_same_by_hand():
    """Groups of 3, 2 and 1 rollouts with 6, 6 and 3 tokens: each prompt has a third, whatever it was given."""
    samples = samples_of([MIXED, SOLVED, ALONE], "batch_standardize", group_token_mean)
    assert [sample.weight for sample in samples] == pytest.approx([1 / 18] * 5 + [1 / 9])


@given(lengths=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=8))
def test_every_prompt_has_an_equal_say_however_its_group_is_sized(lengths):
    groups = [group(key, *(rollout(0, length) for length in sizes)) for key, sizes in enumerate(lengths)]
    say = dict.fromkeys(range(len(lengths)), 0.0)
    for sample in samples_of(groups, "batch_standardize", group_token_mean):
        say[sample.prompt_key] += sample.weight * sum(sample.loss_mask)
    assert list(say.values()) == pytest.approx([1 / len(lengths)] * len(lengths))


def test_no_groups_no_samples():
    assert samples_of([]) == []


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_is_refused(reward):
    with pytest.raises(UserError, match=rf"task 'task/4' has reward {reward}; its verifier must return a finite"):
        samples_of([group(4, rollout(reward, 1))], aggregation=token_mean)
