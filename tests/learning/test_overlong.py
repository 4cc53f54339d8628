"""Overlong rollouts: masked from the loss, or with DAPO's penalty (arXiv 2503.14476, equation 13)."""

from dataclasses import replace

import pytest
from rollout_cases import advantages_of, group, rollout, samples_of

from rekindle.learning.aggregation import AGGREGATIONS, named_aggregation, token_mean
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.overlong import Mask, Penalty, length_penalty
from rekindle.learning.subsets import Subset, balanced
from rekindle.scheduling.gates import has_signal
from rekindle.types import Outcome


def cut(reward, length):
    return replace(rollout(reward, length), truncated=True)


@pytest.mark.parametrize(
    ("length", "penalty"),
    [(0, 0.0), (79, 0.0), (80, 0.0), (81, -0.05), (85, -0.25), (90, -0.5), (99, -0.95), (100, -1.0), (140, -1.0)],
)
def test_the_penalty_by_hand(length, penalty):
    """L = 100, C = 20, so that it begins behind 80 tokens."""
    assert length_penalty(length, 100, 20) == pytest.approx(penalty)


def test_the_figures_of_the_paper():
    """L = 20,480 and C = 4,096."""
    assert [length_penalty(tokens, 20_480, 4_096) for tokens in (16_384, 18_432, 20_480)] == [0.0, -0.5, -1.0]


def test_a_buffer_as_long_as_the_limit_makes_every_token_cost():
    assert [length_penalty(tokens, 4, 4) for tokens in range(5)] == [0.0, -0.25, -0.5, -0.75, -1.0]


def test_advantages_with_a_penalty_by_hand():
    """L = 10, C = 4: rewards 1, 1 - .5 x 2 and 0 at 5, 8 and 2 tokens are 1, 0 and 0; a cut one is 0 - 2."""
    penalty = Penalty(10, 4, factor=2.0)
    one = group(0, rollout(1, 5), rollout(1, 8), rollout(0, 2), cut(0, 10))
    assert advantages_of([one], "dr_grpo", overlong=penalty) == pytest.approx([1.25, 0.25, 0.25, -1.75])
    assert advantages_of([one], "dr_grpo") == pytest.approx([0.5, 0.5, -0.5, -0.5])


def test_a_rollout_that_the_context_cuts_before_the_limit_has_the_whole_penalty():
    assert Penalty(100, 20).reward(cut(1, 30)) == 0.0
    assert Penalty(100, 20).reward(rollout(1, 30)) == 1.0


def test_a_group_is_mixed_by_its_verdicts_alone_and_length_decides_only_where_the_gate_lets_it_pass():
    """The trap: with the penalty, an all-correct group has different rewards."""
    one = group(0, rollout(1, 5), rollout(1, 10))
    assert (one.outcome, has_signal(one), one.successes()) == (Outcome.ALL_CORRECT, False, 2)
    assert advantages_of([one], "dr_grpo", overlong=Penalty(10, 4)) == [0.5, -0.5]


def test_a_subset_of_right_and_wrong_ones_is_chosen_by_verdicts():
    one = group(0, rollout(1, 10), rollout(0, 2), rollout(0, 2), rollout(1, 2))
    chosen = Subset(lambda rewards: balanced(rewards, 2, 1.0), "selected")
    assert advantages_of([one], "dr_grpo", overlong=Penalty(10, 4), subset=chosen) == [0.0, 0.0]
    assert advantages_of([one], "dr_grpo", subset=chosen) == [0.5, -0.5]


def test_masked_rollouts_count_in_the_group_and_not_in_the_loss_by_hand():
    """Rewards 1, 0, 0, 0: the mean is .25 with the cut ones; of 2 + 3 trained tokens each weighs a fifth."""
    one = group(0, rollout(1, 2), rollout(0, 3), cut(0, 7), cut(0, 7))
    samples = samples_of([one], "dr_grpo", overlong=Mask())
    assert [sample.advantages[-1] for sample in samples] == [0.75, -0.25, 0.0, 0.0]
    assert [sample.weight for sample in samples] == [0.2, 0.2, 0.0, 0.0]
    assert [sum(sample.loss_mask) for sample in samples] == [2, 3, 0, 0]
    assert [len(sample.token_ids) for sample in samples] == [4, 5, 9, 9]


@pytest.mark.parametrize(
    ("aggregation", "weights"),
    [
        ("token_mean", [1 / 6, 0, 1 / 6]),
        ("group_token_mean", [1 / 4, 0, 1 / 8]),
        ("sequence_mean", [1 / 6, 0, 1 / 12]),  # as in TRL, all three rollouts are in the mean
        ("constant_length", [1 / 30, 0, 1 / 30]),
    ],
)
def test_the_denominators_without_masked_tokens(aggregation, weights):
    groups = [group(0, rollout(1, 2), cut(0, 9)), group(1, rollout(0, 4))]
    samples = samples_of(groups, "reinforce", named_aggregation(aggregation, 10), overlong=Mask())
    assert [sample.weight for sample in samples] == pytest.approx(weights)
    assert set(AGGREGATIONS) == {"token_mean", "group_token_mean", "sequence_mean", "constant_length"}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_batch_that_was_cut_as_a_whole_trains_nothing_with_any_estimator(estimator, aggregation):
    groups = [group(0, cut(1, 4), cut(0, 4)), group(1, cut(0, 4), cut(1, 4))]
    stages = {"overlong": Mask(), "negative_keep_ratio": 0.5, "zero_variance_scale": 0.5, "tool_tokens": True}
    for sample in samples_of(groups, estimator, named_aggregation(aggregation, 9), **stages):
        assert not any(sample.loss_mask)
        assert not any(sample.advantages)
        assert sample.weight == sample.entropy_scale == 0.0


@pytest.mark.parametrize("handling", [Mask(), Penalty(100, 20)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_short_rollouts_are_as_without_it(estimator, handling):
    groups = [group(0, rollout(1, 2), rollout(0, 3)), group(1, rollout(0, 5), rollout(1, 1))]
    assert samples_of(groups, estimator, token_mean, overlong=handling) == samples_of(groups, estimator, token_mean)
