"""PPO's clip, the KL estimate and the factors of a token's loss: values by hand, gradients by finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.kl import corrected, kl_k3
from rekindle.learning.losses.ppo_clip import ppo_clip
from rekindle.learning.losses.tokens import Clip, Tokens
from rekindle.learning.losses.zero_variance import entropy_advantages

F64 = torch.float64
finite = st.floats(-6, 6)


def clipped_loss(logprobs, old, advantages, low, high, dual=None):
    """``ppo_clip`` of tokens of one rollout."""
    return ppo_clip(Tokens(logprobs, old, advantages, [logprobs.numel()]), Clip(low, high, dual))


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
    losses, flags = clipped_loss(logprobs, tensor(-1.0), tensor(advantage), 0.2, 0.28)
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
    assert torch.autograd.gradcheck(lambda x: clipped_loss(x, old_logprobs, advantages, 0.2, 0.25)[0], (logprobs,))


# ratio, advantage, token loss, clipped, slope; clip .2, .28, dual clip 3
DUAL = [
    (2.9, -1.0, 2.9, False, 2.9),
    (3.5, -1.0, 3.0, True, 0.0),
    (3.5, -2.0, 6.0, True, 0.0),
    (3.5, 1.0, -1.28, True, 0.0),  # a positive advantage has the usual bound
    (0.5, 1.0, -0.5, False, -0.5),
    (0.5, -1.0, 0.8, True, 0.0),
    (3.5, 0.0, 0.0, False, 0.0),
]


@pytest.mark.parametrize(("ratio", "advantage", "loss", "clipped", "slope"), DUAL)
def test_dual_clip_by_hand(ratio, advantage, loss, clipped, slope):
    logprobs = tensor(math.log(ratio) - 1.0).requires_grad_()
    losses, flags = clipped_loss(logprobs, tensor(-1.0), tensor(advantage), 0.2, 0.28, dual=3.0)
    losses.sum().backward()
    assert losses.item() == pytest.approx(loss)
    assert flags.tolist() == [clipped]
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(slope)


@settings(deadline=None)
@given(seed=st.integers(0, 999))
def test_a_dual_clip_beyond_every_ratio_changes_nothing(seed):
    generator = torch.Generator().manual_seed(seed)
    old, advantages = (torch.randn(6, generator=generator, dtype=F64) for _ in range(2))
    logprobs = old + torch.randn(6, generator=generator, dtype=F64)
    plain, bounded = (clipped_loss(logprobs, old, advantages, 0.2, 0.28, dual) for dual in (None, 1e9))
    assert torch.equal(plain[0], bounded[0])
    assert torch.equal(plain[1], bounded[1])


def test_on_policy_gradient_is_reinforce():
    logprobs = tensor(-0.5, -2.0, -0.1).requires_grad_()
    advantages = tensor(1.5, -0.5, 0.0)
    losses, clipped = clipped_loss(logprobs, logprobs.detach(), advantages, 0.2, 0.2)
    losses.sum().backward()
    assert logprobs.grad is not None
    assert torch.equal(logprobs.grad, -advantages)
    assert not clipped.any()


@pytest.mark.parametrize("gap", [1000.0, -1000.0])
def test_a_ratio_beyond_all_measure_stays_finite(gap):
    logprobs = torch.tensor([gap, gap, gap]).requires_grad_()
    losses, _ = clipped_loss(logprobs, torch.zeros(3), torch.tensor([1.0, -1.0, 0.0]), 0.2, 0.2)
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


# -- the direction of the KL penalty: expected gradients over a vocabulary, in closed form


def of_logits(logits):
    return torch.log_softmax(logits, -1)


LOGITS, REFERENCE = tensor(1.0, -0.5, 0.3, 0.0), of_logits(tensor(-0.4, 0.9, 0.0, 0.2))


def expected_gradient(penalty):
    """Gradient of the penalty's mean over tokens of the policy; the probability of a sample has no gradient."""
    logits = LOGITS.clone().requires_grad_()
    logprobs = of_logits(logits)
    mean = (logprobs.detach().exp() * penalty(logprobs)).sum()
    return torch.autograd.grad(mean, logits)[0]


def gradient_of(divergence):
    logits = LOGITS.clone().requires_grad_()
    return torch.autograd.grad(divergence(of_logits(logits)), logits)[0]


def forward_kl(logprobs):
    """KL(policy || ref)."""
    return (logprobs.exp() * (logprobs - REFERENCE)).sum()


def reverse_kl(logprobs):
    """KL(ref || policy)."""
    return (REFERENCE.exp() * (REFERENCE - logprobs)).sum()


def k3_corrected(logprobs, old=None):
    return corrected(kl_k3(logprobs, REFERENCE), logprobs, logprobs.detach() if old is None else old)


def test_the_gradient_of_k3_is_that_of_the_kl_from_the_reference():
    mine = expected_gradient(lambda logprobs: kl_k3(logprobs, REFERENCE))
    torch.testing.assert_close(mine, gradient_of(reverse_kl), rtol=1e-12, atol=1e-14)
    assert (mine - gradient_of(forward_kl)).norm() > 0.1, "the two differ here"


def test_the_gradient_of_corrected_k3_is_that_of_the_kl_from_the_policy():
    mine = expected_gradient(k3_corrected)
    torch.testing.assert_close(mine, gradient_of(forward_kl), rtol=1e-12, atol=1e-14)
    # the closed form: p_i (log p_i / q_i - KL)
    policy = of_logits(LOGITS)
    closed = policy.exp() * (policy - REFERENCE - forward_kl(policy))
    torch.testing.assert_close(mine, closed, rtol=1e-12, atol=1e-14)


def test_corrected_k3_is_unbiased_for_tokens_of_an_older_policy():
    old = of_logits(tensor(0.2, 0.1, -0.7, 0.5))
    logits = LOGITS.clone().requires_grad_()
    logprobs = of_logits(logits)
    mean = (old.exp() * k3_corrected(logprobs, old)).sum()
    assert mean.item() == pytest.approx(forward_kl(of_logits(LOGITS)).item())
    (gradient,) = torch.autograd.grad(mean, logits)
    torch.testing.assert_close(gradient, gradient_of(forward_kl), rtol=1e-12, atol=1e-14)


def test_both_estimates_have_one_value_on_policy():
    logprobs = of_logits(LOGITS)
    assert torch.equal(k3_corrected(logprobs), kl_k3(logprobs, REFERENCE))


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
