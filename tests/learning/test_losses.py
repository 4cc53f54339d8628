"""Values by hand on both sides of the clip, gradients against finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.losses import kl_k3, ppo_clip

F64 = torch.float64
finite = st.floats(-6, 6)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=F64)


# ratio, advantage, token loss, clipped, d loss / d logprob (= -A * ratio where not clipped); clip_low .2, clip_high .28
TABLE = [
    (1.0, 2.0, -2.0, False, -2.0),
    (1.0, -2.0, 2.0, False, 2.0),
    (1.2, 1.0, -1.2, False, -1.2),  # beyond 1 + clip_low: clip-higher lets it pass
    (1.5, 1.0, -1.28, True, 0.0),  # already up enough
    (1.5, -1.0, 1.5, False, 1.5),  # up although bad: must come down
    (0.5, 1.0, -0.5, False, -0.5),  # down although good: must come up
    (0.5, -1.0, 0.8, True, 0.0),  # already down enough
    (0.9, -3.0, 2.7, False, 2.7),
    (1.5, 0.0, 0.0, False, 0.0),
]


@pytest.mark.parametrize(("ratio", "advantage", "loss", "clipped", "slope"), TABLE)
def test_ppo_clip_by_hand(ratio, advantage, loss, clipped, slope):
    logprobs = tensor(math.log(ratio) - 1.0).requires_grad_()
    losses, flags = ppo_clip(logprobs, tensor(-1.0), tensor(advantage), 0.2, 0.28)
    losses.sum().backward()
    assert losses.item() == pytest.approx(loss)
    assert flags.tolist() == [clipped]
    assert logprobs.grad.item() == pytest.approx(slope)


@settings(deadline=None)
@given(old=st.lists(finite, min_size=1, max_size=6), seed=st.integers(0, 999))
def test_ppo_clip_gradient_matches_finite_differences(old, seed):
    generator = torch.Generator().manual_seed(seed)
    old_logprobs = tensor(*old)
    # Ratios from .5 to 1.6, none within 1e-3 of the corners .8 and 1.25, where no derivative exists.
    ratios = 0.5 + 1.1 * torch.rand(len(old), generator=generator, dtype=F64)
    for corner in (0.8, 1.25):
        ratios[(ratios - corner).abs() < 1e-3] = 1.0
    advantages = torch.randn(len(old), generator=generator, dtype=F64)
    logprobs = (old_logprobs + ratios.log()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ppo_clip(x, old_logprobs, advantages, 0.2, 0.25)[0], (logprobs,))


def test_on_policy_gradient_is_reinforce():
    logprobs = tensor(-0.5, -2.0, -0.1).requires_grad_()
    advantages = tensor(1.5, -0.5, 0.0)
    losses, clipped = ppo_clip(logprobs, logprobs.detach(), advantages, 0.2, 0.2)
    losses.sum().backward()
    assert torch.equal(logprobs.grad, -advantages)
    assert not clipped.any()


@pytest.mark.parametrize("gap", [1000.0, -1000.0])
def test_a_ratio_beyond_all_measure_stays_finite(gap):
    logprobs = torch.tensor([gap, gap, gap]).requires_grad_()
    losses, _ = ppo_clip(logprobs, torch.zeros(3), torch.tensor([1.0, -1.0, 0.0]), 0.2, 0.2)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logprobs.grad.isfinite().all()
    assert losses[2] == 0


def test_kl_k3_by_hand():
    # d = log 2: 2 - log 2 - 1;  d = -log 2: 1/2 + log 2 - 1;  d = 0: 0
    values = kl_k3(tensor(-1.0, -1.0, -1.0), tensor(-1.0 + math.log(2), -1.0 - math.log(2), -1.0))
    assert values.tolist() == pytest.approx([1 - math.log(2), math.log(2) - 0.5, 0.0])


@settings(deadline=None)
@given(logprobs=st.lists(finite, min_size=1, max_size=6), seed=st.integers(0, 999))
def test_kl_k3_is_never_negative_and_has_the_right_gradient(logprobs, seed):
    mine = tensor(*logprobs).requires_grad_()
    reference = mine.detach() + torch.randn(len(logprobs), generator=torch.Generator().manual_seed(seed), dtype=F64)
    assert (kl_k3(mine, reference) >= 0).all()
    assert torch.autograd.gradcheck(lambda x: kl_k3(x, reference), (mine,))


def test_kl_k3_has_the_kl_divergence_as_its_mean():
    policy, reference = tensor(0.5, 0.3, 0.2), tensor(0.2, 0.2, 0.6)
    expected = (policy * (policy / reference).log()).sum()
    assert (policy * kl_k3(policy.log(), reference.log())).sum().item() == pytest.approx(expected.item())
