"""The recipe ``rekindle``: one success of every group with signal, and its gradient in closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rollout_cases import group, rewarded, rollout

from rekindle.learning.samples import build_samples
from rekindle.methods.credit import build_credit
from rekindle.recipes import RECIPES

CREDIT = build_credit(RECIPES["rekindle"]())
outcomes = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=8)


def trained(samples):
    """(prompt, advantage) of the rows that an update computes."""
    return [(one.prompt_key, max(one.advantages, key=abs)) for one in samples if any(one.advantages)]


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [((0, 1, 0, 0), [1.0]), ((1, 0, 1, 1), [1.0]), ((1, 1, 0, 0), [1.0]), ((1, 1, 1, 1), []), ((0, 0, 0, 0), [])],
)
def test_one_success_of_a_group_with_signal(rewards, expected):
    found = [advantage for _, advantage in trained(build_samples([rewarded(1, *rewards)], CREDIT))]
    assert found == pytest.approx(expected, abs=1e-5)


@given(st.lists(outcomes, min_size=1, max_size=6))
def test_groups_count_alike_and_no_failure_is_trained_on(batch):
    groups = [rewarded(key, *rewards) for key, rewards in enumerate(batch)]
    rows = trained(build_samples(groups, CREDIT))
    assert [key for key, _ in rows] == [key for key, rewards in enumerate(batch) if 0 < sum(rewards) < len(rewards)]
    assert [advantage for _, advantage in rows] == pytest.approx([1.0] * len(rows), abs=1e-5)


def test_a_token_of_a_success_weighs_the_same_beside_long_and_short_failures():
    groups = [group(1, rollout(1, 3), rollout(0, 40)), group(2, rollout(1, 5), rollout(0, 2))]
    short, long = (one for one in build_samples(groups, CREDIT) if any(one.advantages))
    assert short.weight == long.weight == 1 / 50


def test_the_expected_gradient_is_that_of_the_log_success_rate():
    """A softmax over four answers, two of them right: a success drawn at random has E[grad log pi] = grad log p.

    A failure has -p / (1 - p) times that: the same direction, so failures add variance and nothing else in expectation.
    """
    logits = torch.tensor([0.3, -1.0, 0.7, 0.1], dtype=torch.float64, requires_grad=True)
    right = torch.tensor([True, False, True, False])
    (wanted,) = torch.autograd.grad(torch.log_softmax(logits, 0)[right].exp().sum().log(), logits)
    shares = torch.softmax(logits.detach(), 0)
    scores = torch.eye(4, dtype=torch.float64) - shares  # row i: grad log pi(i)
    p = shares[right].sum()
    assert torch.allclose((shares[right, None] * scores[right]).sum(0) / p, wanted)
    assert torch.allclose((shares[~right, None] * scores[~right]).sum(0) / (1 - p), -p / (1 - p) * wanted)


def test_a_single_right_answer_leaves_no_variance_in_a_success():
    """With one right answer every success has the gradient of log p itself; failures differ from one another."""
    shares = torch.softmax(torch.tensor([0.0, 1.0, -0.5], dtype=torch.float64), 0)
    scores = torch.eye(3, dtype=torch.float64) - shares
    p, failures = shares[0].item(), scores[1:]
    mean = (shares[1:, None] * failures).sum(0) / (1 - p)
    variance = ((shares[1:, None] * (failures - mean) ** 2).sum() / (1 - p)).item()
    assert torch.allclose(mean, -p / (1 - p) * scores[0])
    q = shares[1:] / (1 - p)
    assert math.isclose(variance, 1 - (q**2).sum().item())
