"""C-RF: the advantages and the existing clip are the paper's loss, shown against its literal formula with autograd."""

import pytest
import torch

from rekindle.learning.aggregation import sequence_mean
from rekindle.learning.estimators import ESTIMATORS, Compared, balanced, c_rf
from rekindle.learning.losses.ppo_clip import ppo_clip
from rekindle.learning.losses.tokens import Clip, Tokens
from rekindle.learning.token_filters import lowest_probability

F64 = torch.float64
CLIP_LOW, CLIP_HIGH = 0.2, 10.0
LENGTHS = [3, 1, 12, 5, 2, 7]


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([1, 0, 0, 0], [2, -2 / 3, -2 / 3, -2 / 3]),
        ([1, 0], [1, -1]),
        ([0.5, 0.49, 1, 1, 1], [5 / 8, -5 / 2, 5 / 8, 5 / 8, 5 / 8]),
        ([1, 1, 1], [1, 1, 1]),
        ([0, 0], [-1, -1]),
        ([], []),
    ],
)
def test_hand_table(rewards, expected):
    assert c_rf(rewards) == pytest.approx(expected)


def test_the_threshold_is_the_callers():
    assert c_rf([0.2, 0.4, 0.9], success_at=0.3) == pytest.approx([-1.5, 0.75, 0.75])
    assert c_rf([0.2, 0.4], success_at=0.1) == [1, 1]


def test_real_rewards_are_split_at_the_batch_mean():
    """Mean .5: the reward that equals it is not below it."""
    estimator = ESTIMATORS["c_rf"].tuned({"split": "batch_mean", "count_over": "batch"})
    assert not estimator.needs_binary_rewards
    (row, other) = estimator.function([Compared([0.1, 0.5]), Compared([0.4, 0.6, 0.9])])
    assert [*row, *other] == pytest.approx([-5 / 4, 5 / 6, -5 / 4, 5 / 6, 5 / 6])


@pytest.mark.parametrize("reward", [0.0, 0.3, 1.0])
def test_equal_real_rewards_have_no_sides(reward):
    """A batch of failures is not below its own mean, and must not be reinforced."""
    estimator = ESTIMATORS["c_rf"].tuned({"split": "batch_mean", "count_over": "batch"})
    assert estimator.function([Compared([reward] * 3)]) == [[0.0] * 3]


def test_counted_over_minibatches_the_advantages_are_signs():
    estimator = ESTIMATORS["c_rf"]
    assert estimator.balances_each_step
    assert estimator.function([Compared([1.0, 0.0]), Compared([0.0])]) == [[1.0, -1.0], [-1.0]]


def test_sides_are_balanced_by_what_counts():
    # units 1 3 | 4, total 8: 8 / (2 x 4) for both; without units 3 / (2 x 2) and 3 / 2
    assert balanced([1.0, 1.0, -1.0], [1, 3, 4]) == [1.0, 1.0, -1.0]
    assert balanced([1.0, 1.0, -1.0]) == pytest.approx([0.75, 0.75, -1.5])
    assert balanced([1.0, 0.0, -1.0], [0.0, 5.0, 2.0]) == [0.0, 0.0, -1.0], "what does not count is no side"


def literal_loss(rows, rewards):
    """The paper's formula as written; rows of (logprobs, old logprobs, kept tokens), one per rollout."""
    positive, negative = [], []
    for (logprobs, old, keep), reward in zip(rows, rewards, strict=True):
        ratio = torch.exp(logprobs - old)
        if reward >= 0.5:
            positive.append(torch.minimum(ratio, torch.tensor(1 + CLIP_HIGH, dtype=F64)).sum() / len(ratio))
        else:
            floor = torch.maximum(ratio, torch.tensor(1 - CLIP_LOW, dtype=F64))
            negative.append(floor[keep].sum() / len(ratio))
    if not negative:
        return -torch.stack(positive).mean()
    if not positive:
        return torch.stack(negative).mean()
    return -(torch.stack(positive).mean() - torch.stack(negative).mean()) / 2


def composed_loss(rows, rewards):
    """What the trainer computes: estimator, token filter, clip and aggregation."""
    weights = sequence_mean([len(logprobs) for logprobs, _, _ in rows], list(range(len(rows))))
    total = torch.zeros((), dtype=F64)
    for (logprobs, old, keep), advantage, weight in zip(rows, c_rf(rewards), weights, strict=True):
        advantages = torch.full_like(logprobs, advantage)
        if advantage < 0:
            advantages = advantages * keep
        tokens = Tokens(logprobs, old, advantages, [len(logprobs)])
        total = total + weight * ppo_clip(tokens, Clip(CLIP_LOW, CLIP_HIGH))[0].sum()
    return total


@pytest.mark.parametrize("rewards", [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [1] * 6, [0] * 6])
@pytest.mark.parametrize("keep_ratio", [1.0, 0.1])
@pytest.mark.parametrize("drift", [0.0, 0.6, 3.0])
def test_the_composed_loss_is_the_papers(rewards, keep_ratio, drift):
    generator = torch.Generator().manual_seed(5)
    rows, leaves = [], []
    for length in LENGTHS:
        old = -3 * torch.rand(length, generator=generator, dtype=F64)
        leaf = (old + drift * torch.randn(length, generator=generator, dtype=F64)).requires_grad_()
        leaves.append(leaf)
        rows.append((leaf, old, torch.tensor(lowest_probability(old.tolist(), keep_ratio))))
    literal, composed = literal_loss(rows, rewards), composed_loss(rows, rewards)
    assert composed.item() == pytest.approx(literal.item(), rel=1e-12)
    expected = torch.autograd.grad(literal, leaves, allow_unused=True)
    for mine, theirs in zip(torch.autograd.grad(composed, leaves), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-15)


def test_the_drift_reaches_both_bounds():
    """Otherwise the test above would compare the unclipped branch only."""
    generator = torch.Generator().manual_seed(5)
    ratios = torch.exp(3.0 * torch.randn(sum(LENGTHS), generator=generator, dtype=F64))
    assert (ratios > 1 + CLIP_HIGH).any()
    assert (ratios < 1 - CLIP_LOW).any()


def test_on_policy_without_a_filter_it_is_reinforce():
    logprobs = torch.tensor([-0.5, -2.0], dtype=F64, requires_grad=True)
    composed_loss(
        [(logprobs[:1], logprobs[:1].detach(), None), (logprobs[1:], logprobs[1:].detach(), True)], [1, 0]
    ).backward()
    # M = 2, one on each side: A = +1 and -1, weights 1/2
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-0.5, 0.5]
