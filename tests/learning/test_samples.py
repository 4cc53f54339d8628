"""Groups to training samples: a batch worked by hand."""

import math

import pytest

from rekindle.learning.aggregation import constant_length, group_token_mean, sequence_mean, token_mean
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.samples import build_samples
from rekindle.types import Group, GroupRequest, Rollout, outcome_of


def rollout(reward: float, length: int, *, hole: bool = False) -> Rollout:
    """Two prompt tokens and ``length`` sampled ones; with a hole, a tool's token stands before the last of them."""
    mask = [False, False] + [True] * length
    if hole:
        mask.insert(-1, False)
    return Rollout(list(range(len(mask))), mask, [-0.5 if m else 0.0 for m in mask], reward, temperature=1.2, version=3)


def group(key: int, *rollouts: Rollout) -> Group:
    request = GroupRequest(key, f"task/{key}", key, len(rollouts), 1.2, 0, 3, 0)
    return Group(request, rollouts, outcome_of([each.reward for each in rollouts]))


MIXED = group(11, rollout(1, 2), rollout(0, 3, hole=True), rollout(0, 1))
SOLVED = group(5, rollout(1, 4), rollout(1, 2))


def test_advantages_stand_on_the_trainable_tokens_only():
    samples = build_samples([MIXED], estimator=ESTIMATORS["dr_grpo"], aggregation=token_mean)
    third = 1 / 3
    assert [sample.advantages for sample in samples] == [
        pytest.approx([0, 0, 2 * third, 2 * third]),
        pytest.approx([0, 0, -third, -third, 0, -third]),
        pytest.approx([0, 0, -third]),
    ]
    assert [sample.weight for sample in samples] == [pytest.approx(1 / 6)] * 3


def test_everything_else_of_a_rollout_is_handed_on():
    sample = build_samples([MIXED], estimator=ESTIMATORS["grpo"], aggregation=token_mean)[1]
    source = MIXED.rollouts[1]
    assert sample.token_ids == source.token_ids
    assert sample.loss_mask == source.loss_mask
    assert sample.logprobs == source.logprobs
    assert (sample.temperature, sample.version, sample.prompt_key) == (1.2, 3, 11)


def test_a_group_without_signal_counts_in_the_denominators_when_it_is_listed():
    def weights(groups, aggregation):
        return [s.weight for s in build_samples(groups, estimator=ESTIMATORS["grpo"], aggregation=aggregation)]

    assert weights([MIXED, SOLVED], group_token_mean) == pytest.approx([1 / 12] * 5)
    assert weights([MIXED], group_token_mean) == pytest.approx([1 / 6] * 3)
    assert weights([MIXED, SOLVED], sequence_mean) == pytest.approx([1 / 10, 1 / 15, 1 / 5, 1 / 20, 1 / 10])
    assert weights([MIXED, SOLVED], constant_length(8)) == pytest.approx([1 / 40] * 5)
    solved = build_samples([MIXED, SOLVED], estimator=ESTIMATORS["grpo"], aggregation=token_mean)[3:]
    assert all(not any(sample.advantages) for sample in solved)


def test_group_and_batch_scope_differ():
    def advantages(name):
        samples = build_samples([MIXED, SOLVED], estimator=ESTIMATORS[name], aggregation=token_mean)
        return [sample.advantages[-1] for sample in samples]

    root2 = math.sqrt(2)
    assert advantages("grpo") == pytest.approx([root2, -1 / root2, -1 / root2, 0, 0])
    # rewards 1 0 0 1 1: mean .6, std sqrt(.24)
    up, down = 0.4 / math.sqrt(0.24), -0.6 / math.sqrt(0.24)
    assert advantages("batch_standardize") == pytest.approx([up, down, down, up, up])


def test_single_rollouts_learn_from_the_batch():
    groups = [group(0, rollout(1, 1)), group(1, rollout(0, 1))]
    samples = build_samples(groups, estimator=ESTIMATORS["batch_standardize"], aggregation=token_mean)
    assert [sample.advantages[-1] for sample in samples] == pytest.approx([1, -1])


def test_no_groups_no_samples():
    assert build_samples([], estimator=ESTIMATORS["grpo"], aggregation=token_mean) == []


def test_a_reward_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"task 'task/4' has reward nan; its verifier must return a finite number"):
        build_samples([group(4, rollout(math.nan, 1))], estimator=ESTIMATORS["grpo"], aggregation=token_mean)
