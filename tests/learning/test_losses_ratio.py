"""GSPO and CISPO against the papers' formulas, and what all losses have in common on policy."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.aggregation import sequence_mean
from rekindle.learning.losses import LOSSES
from rekindle.learning.losses.cispo import cispo
from rekindle.learning.losses.gspo import gspo
from rekindle.learning.losses.tokens import Clip, Tokens

F64 = torch.float64
LENGTHS = [3, 0, 1, 4]


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=F64)


def tokens(seed: int, drift: float, *, per_token: bool = False) -> Tokens:
    """Four rollouts, one of them empty; advantages one a rollout, or one a token."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(LENGTHS)
    old = -3 * torch.rand(n, generator=generator, dtype=F64)
    logprobs = (old + drift * torch.randn(n, generator=generator, dtype=F64)).requires_grad_()
    advantages = torch.randn(n if per_token else len(LENGTHS), generator=generator, dtype=F64)
    if not per_token:
        advantages = advantages.repeat_interleave(torch.tensor(LENGTHS))
    return Tokens(logprobs, old, advantages, LENGTHS)


def weights() -> torch.Tensor:
    each = sequence_mean(LENGTHS, list(range(len(LENGTHS))))
    return tensor(*each).repeat_interleave(torch.tensor(LENGTHS))


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None)
@given(seed=st.integers(0, 999), low=st.floats(1e-4, 0.9), high=st.floats(1e-4, 9))
def test_on_policy_every_loss_has_exactly_the_gradient_of_reinforce(name, seed, low, high):
    batch = tokens(seed, 0.5, per_token=True)
    batch = Tokens(batch.logprobs, batch.logprobs.detach(), batch.advantages, LENGTHS)
    losses, clipped = LOSSES[name].load()(batch, Clip(low, high))
    losses.sum().backward()
    assert batch.logprobs.grad is not None
    assert torch.equal(batch.logprobs.grad, -batch.advantages)
    assert not clipped.any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("gap", [1000.0, -1000.0])
def test_a_ratio_beyond_all_measure_stays_finite(name, gap):
    logprobs = torch.tensor([gap, gap, gap]).requires_grad_()
    batch = Tokens(logprobs, torch.zeros(3), torch.tensor([1.0, -1.0, 0.0]), [1, 1, 1])
    losses, _ = LOSSES[name].load()(batch, Clip(0.2, 0.2))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logprobs.grad is not None
    assert logprobs.grad.isfinite().all()
    assert losses[2] == 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_no_tokens_no_losses(name, lengths):
    none = torch.zeros(0)
    losses, clipped = LOSSES[name].load()(Tokens(none, none, none, lengths), Clip(0.2, 0.2))
    assert (losses.tolist(), clipped.tolist()) == ([], [])


def test_gspo_by_hand():
    """Ratios 2 and 1/2 make a sequence of ratio 1; 1.2 and 1.5 one of sqrt(1.8) = 1.342, clipped when good."""
    ratios = tensor(2.0, 0.5, 1.2, 1.5, 1.2, 1.5)
    logprobs = (ratios.log() - 1).requires_grad_()
    batch = Tokens(logprobs, torch.full_like(ratios, -1.0), tensor(1, 1, 1, 1, -1, -1), [2, 2, 2])
    losses, clipped = gspo(batch, Clip(0.2, 0.28))
    losses.sum().backward()
    root = math.sqrt(1.8)
    assert losses.tolist() == pytest.approx([-1, -1, -1.28, -1.28, root, root])
    assert clipped.tolist() == [False, False, True, True, False, False]
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-1, -1, 0, 0, root, root])


def literal_gspo(batch: Tokens, low: float, high: float) -> torch.Tensor:
    """The paper's objective, negated: mean over sequences of min(s A, clip(s) A), the gradient through s itself."""
    terms = []
    for logprobs, old, advantages in zip(
        *(torch.split(column, LENGTHS) for column in (batch.logprobs, batch.old_logprobs, batch.advantages)),
        strict=True,
    ):
        if len(logprobs):
            s = torch.exp((logprobs - old).mean())
            terms.append(torch.minimum(s * advantages[0], s.clamp(1 - low, 1 + high) * advantages[0]))
    return -torch.stack(terms).sum() / len(LENGTHS)


@settings(deadline=None)
@given(seed=st.integers(0, 999), drift=st.floats(0, 1))
def test_gspo_with_sequence_mean_has_the_papers_value_and_gradient(seed, drift):
    batch = tokens(seed, drift)
    mine = (gspo(batch, Clip(0.1, 0.2))[0] * weights()).sum()
    theirs = literal_gspo(batch, 0.1, 0.2)
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-12)
    gradients = [torch.autograd.grad(loss, batch.logprobs)[0] for loss in (mine, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_gspo_gradient_matches_finite_differences_where_the_ratio_is_free():
    batch = tokens(3, 0.1)
    assert torch.autograd.gradcheck(lambda x: (gspo_of(batch, x) * weights()).sum(), (batch.logprobs,))


def gspo_of(batch: Tokens, logprobs: torch.Tensor) -> torch.Tensor:
    return gspo(Tokens(logprobs, batch.old_logprobs, batch.advantages, LENGTHS), Clip(0.9, 9.0))[0]


def test_a_token_dropped_by_a_filter_has_no_gradient_and_counts_in_its_sequences_ratio():
    logprobs = tensor(-0.5, -1.5).requires_grad_()
    losses, _ = gspo(Tokens(logprobs, tensor(-1.0, -1.2), tensor(0.0, -2.0), [2]), Clip(0.5, 0.5))
    losses.sum().backward()
    s = math.exp((0.5 - 0.3) / 2)
    assert losses.tolist() == pytest.approx([0.0, 2 * s])
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([0.0, 2 * s])


# ratio, advantage, weight of the token, bounded; clip_high 1
CISPO = [
    (1.0, 2.0, 1.0, False),
    (1.9, 1.0, 1.9, False),
    (3.0, 1.0, 2.0, True),
    (3.0, -1.0, 2.0, True),  # the bound has no side, and the token keeps its gradient
    (0.01, -1.0, 0.01, False),  # no lower bound
    (0.01, 1.0, 0.01, False),
]


@pytest.mark.parametrize(("ratio", "advantage", "weight", "bounded"), CISPO)
def test_cispo_by_hand(ratio, advantage, weight, bounded):
    logprobs = tensor(math.log(ratio) - 1.0).requires_grad_()
    losses, flags = cispo(Tokens(logprobs, tensor(-1.0), tensor(advantage), [1]), Clip(0.2, 1.0))
    losses.sum().backward()
    assert losses.item() == pytest.approx(-weight * advantage * (math.log(ratio) - 1.0))
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(-weight * advantage)
    assert flags.tolist() == [bounded]
    assert not flags.requires_grad


@settings(deadline=None)
@given(seed=st.integers(0, 999), drift=st.floats(0, 2))
def test_cispo_is_weighted_reinforce_for_any_policy(seed, drift):
    """The same weights given as numbers: the gradient goes through the log-probabilities alone."""
    batch = tokens(seed, drift, per_token=True)
    weight = torch.exp(batch.logprobs.detach() - batch.old_logprobs).clamp(max=1.5)
    (gradient,) = torch.autograd.grad(cispo(batch, Clip(0.2, 0.5))[0].sum(), batch.logprobs)
    torch.testing.assert_close(gradient, -weight * batch.advantages)
