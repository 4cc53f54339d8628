"""PPO's clip, the KL estimate and the factors of a token's loss: values by hand, gradients by finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.losses import LOSSES
from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.kl import kl_k3
from rekindle.learning.losses.ppo_clip import ppo_clip
from rekindle.learning.losses.tokens import Tokens
from rekindle.learning.losses.zero_variance import entropy_advantages

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
    assert logprobs.grad is not None
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
    assert logprobs.grad is not None
    assert torch.equal(logprobs.grad, -advantages)
    assert not clipped.any()


@pytest.mark.parametrize("gap", [1000.0, -1000.0])
def test_a_ratio_beyond_all_measure_stays_finite(gap):
    logprobs = torch.tensor([gap, gap, gap]).requires_grad_()
    losses, _ = ppo_clip(logprobs, torch.zeros(3), torch.tensor([1.0, -1.0, 0.0]), 0.2, 0.2)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logprobs.grad is not None
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


def test_the_table_of_losses_holds_ppo_clip_as_it_is():
    logprobs, old = tensor(-0.5, -2.0, -0.1), tensor(-1.0, -1.0, -1.0)
    tokens = Tokens(logprobs, old, tensor(1.0, -1.0, 2.0), [2, 1])
    losses, clipped = ppo_clip(logprobs, old, tokens.advantages, 0.2, 0.3)
    mine, flags = LOSSES["ppo_clip"].load()(tokens, 0.2, 0.3)
    assert torch.equal(mine, losses)
    assert torch.equal(flags, clipped)


def test_lengths_that_are_not_those_of_the_tokens_are_our_own_mistake():
    with pytest.raises(AssertionError, match="lengths must sum"):
        Tokens(tensor(-1.0), tensor(-1.0), tensor(1.0), [2])


def test_importance_weights_by_hand():
    logprobs = tensor(math.log(0.5), math.log(0.9), math.log(0.3), -2000.0, 0.0).requires_grad_()
    behaviour = tensor(math.log(0.4), math.log(0.1), math.log(0.6), 0.0, -2000.0)
    weights = importance_weights(logprobs, behaviour, torch.full((5,), 2.0))
    assert weights.tolist() == pytest.approx([1.25, 2.0, 0.5, 0.0, 2.0])
    assert not weights.requires_grad


def test_importance_weights_undo_the_sampling_temperature():
    """Uncut, the weighted mean under the hot distribution is the mean under the cool one."""
    logits, values = tensor(1.0, 0.0, -1.0), tensor(3.0, -2.0, 7.0)
    cool, hot = logits.log_softmax(0), (logits / 1.2).log_softmax(0)
    weighted = (hot.exp() * importance_weights(cool, hot, torch.full((3,), 100.0)) * values).sum()
    assert weighted.item() == pytest.approx((cool.exp() * values).sum().item())


def test_entropy_advantages_by_hand():
    entropies = tensor(0.5, 2.0, 1.0, 0.25, 0.75, 3.0, 1.0, 1.0).requires_grad_()
    # all correct | no tokens | all wrong (max .75 and, one token, itself) | mixed
    advantages = entropy_advantages(entropies, [3, 0, 2, 1, 2], [0.1, 0.1, -0.2, -0.2, 0.0])
    assert advantages.tolist() == pytest.approx([0.05, 0.2, 0.1, -0.1, 0.0, 0.0, 0.0, 0.0])
    assert not advantages.requires_grad


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.lists(st.floats(0, 9), max_size=5), st.sampled_from([-0.3, 0.0, 0.1])), min_size=1, max_size=5
    )
)
def test_entropy_advantages_have_the_sign_of_the_scale_and_know_one_rollout_only(rows):
    def together(some):
        entropies = torch.tensor([value for row, _ in some for value in row], dtype=F64)
        return entropy_advantages(entropies, [len(row) for row, _ in some], [scale for _, scale in some])

    advantages = together(rows)
    assert torch.equal(advantages, torch.cat([together([row]) for row in rows]))
    signs = torch.tensor([scale for row, scale in rows for _ in row], dtype=F64)
    assert (advantages * signs >= 0).all()


def test_no_rollouts_no_entropy_advantages():
    assert entropy_advantages(torch.zeros(0), [], []).tolist() == []
    assert entropy_advantages(torch.zeros(0), [0, 0], [0.1, -0.1]).tolist() == []
