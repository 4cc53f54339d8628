from typing import cast

import pytest
import torch
import torch.nn.functional as F

from rekindle.models.fused import gated_mlp, linear_residual, normalize, normalize_backward, rms_norm, select
from rekindle.models.kernels import Kernels
from rekindle.models.layout import Gather

EPS = 1e-3


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def test_rms_norm_by_hand():
    # (3, 4): mean square 12.5.
    x = torch.tensor([[3.0, 4.0]])
    expected = torch.tensor([[3.0, 8.0]]) / 12.5**0.5
    torch.testing.assert_close(rms_norm(x, torch.tensor([1.0, 2.0]), 0.0), expected)


def test_rms_norm_has_its_derivative():
    assert torch.autograd.gradcheck(lambda x, weight: rms_norm(x, weight, EPS), (random(4, 6), random(6)))
    x, weight = random(4, 6), random(6)
    torch.testing.assert_close(rms_norm(x, weight, EPS), F.rms_norm(x, (6,), weight, EPS))


def test_normalize_backward_adds_the_residual_gradient():
    x, grad, residual = random(3, 5).detach(), random(3, 5, seed=1).detach(), random(3, 5, seed=2).detach()
    y, factor = normalize(x, EPS)
    alone = normalize_backward(grad.clone(), y, factor)
    torch.testing.assert_close(normalize_backward(grad.clone(), y, factor, add=residual), alone + residual)


def plain_mlp(x, norm, gate, up, down):
    y = F.rms_norm(x, x.shape[-1:], norm, EPS)
    return x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)


@pytest.mark.parametrize("intermediate", [3, 9])
def test_gated_mlp_and_its_derivative(intermediate):
    inputs = (
        random(4, 6),
        random(6),
        random(intermediate, 6),
        random(intermediate, 6, seed=1),
        random(6, intermediate),
    )
    assert torch.autograd.gradcheck(
        lambda x, norm, gate, up, down: gated_mlp(x, norm, gate, up, down, EPS, Kernels()), inputs
    )
    torch.testing.assert_close(gated_mlp(*inputs, EPS, Kernels()), plain_mlp(*inputs))


@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_residual_and_its_derivative(with_bias):
    x, inputs, weight, bias = random(4, 3), random(4, 5), random(3, 5), random(3) if with_bias else None
    assert torch.autograd.gradcheck(
        lambda x, inputs, weight, bias: linear_residual(x, inputs, weight, bias, Kernels()),
        cast(tuple[torch.Tensor, ...], (x, inputs, weight, bias)),  # a missing bias passes through
    )
    torch.testing.assert_close(linear_residual(x, inputs, weight, bias, Kernels()), x + F.linear(inputs, weight, bias))


def test_select_copies_rows_and_adds_their_gradients_up():
    # Rows 2 0 2; row 1 is wanted by nobody.
    gather = Gather(torch.tensor([2, 0, 2]), torch.tensor([]), torch.tensor([1, 0, 2]), torch.tensor([0, 1, 1]))
    rows = random(3, 2)
    assert torch.autograd.gradcheck(lambda rows: select(rows, gather), (rows,))
    torch.testing.assert_close(select(rows, gather), rows[[2, 0, 2]])
