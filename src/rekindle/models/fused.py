"""RMSNorm and the gated feed-forward part as autograd functions with analytic backward passes.

Each replaces several elementary autograd operations, with fewer passes over memory. RMSNorm's weight is folded into the
matrix that follows: (y ⊙ w) Wᵀ = y (W ⊙ w)ᵀ. W is small compared with a long y. The folded matrix is recomputed in the
backward pass instead of being stored. With y = x r, r = 1 / sqrt(mean(x²) + eps) and g the gradient of y:

    dx = r (g - y mean(g ⊙ y))

Letters: N packed tokens, d width, I intermediate width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rekindle.models.kernels import Kernels
from rekindle.models.layout import Gather

__all__ = [
    "Gradients",
    "gated_mlp",
    "linear_residual",
    "normalize",
    "normalize_backward",
    "rms_norm",
    "select",
    "spread",
]

Gradients = tuple[Tensor | None, ...]


def normalize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return x over its root mean square along the last axis, and the factor used [..., 1], at least float32."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_accumulation(x))
    factor = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return (x * factor).to(x.dtype), factor


def normalize_backward(grad: Tensor, y: Tensor, factor: Tensor, add: Tensor | None = None) -> Tensor:
    """Return the gradient of x from the gradient of y = x * factor, plus ``add``; overwrites ``grad``."""
    wide = grad.to(factor.dtype)
    mean = torch.linalg.vecdot(wide, y.to(factor.dtype)).unsqueeze(-1).div_(-y.shape[-1])
    wide.addcmul_(y, mean)
    result = wide.mul_(factor) if add is None else torch.addcmul(add, wide, factor)
    return result.to(grad.dtype)


def _accumulation(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, factor = normalize(x, eps)
        ctx.save_for_backward(y, factor, weight)
        return y * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        y, factor, weight = ctx.saved_tensors
        return normalize_backward(grad * weight, y, factor), (grad * y).sum(0), None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return x [N, d] over its root mean square, times weight [d]."""
    result: Tensor = _RMSNorm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
    return result


class _GatedMLP(torch.autograd.Function):
    """Saves y, g = y Wgᵀ and u = y Wuᵀ; recomputes a = silu(g) and h = a ⊙ u, which is as fast as reading them."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor, eps: float, kernels: Kernels
    ) -> Tensor:
        y, factor = normalize(x, eps)
        g, u = kernels.forward(y, gate * norm), kernels.forward(y, up * norm)
        ctx.save_for_backward(y, factor, g, u, norm, gate, up, down)
        ctx.kernels = kernels
        return kernels.forward(F.silu(g).mul_(u), down, add=x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        kernels: Kernels = ctx.kernels
        y, factor, g, u, norm, gate, up, down = ctx.saved_tensors
        a = F.silu(g)
        grad_down = kernels.to_weight(grad, a * u) if ctx.needs_input_grad[4] else None
        grad_h = kernels.to_input(grad, down)
        grad_u = a.mul_(grad_h)
        grad_g = torch.ops.aten.silu_backward.grad_input(grad_h.mul_(u), g, grad_input=grad_h)
        grad_y = kernels.to_input(grad_g, gate * norm)
        grad_y = kernels.to_input(grad_u, up * norm, add=grad_y)
        grad_norm = grad_gate = grad_up = None
        if any(ctx.needs_input_grad[1:4]):
            grad_gate, grad_up = kernels.to_weight(grad_g, y), kernels.to_weight(grad_u, y)
            grad_norm = (grad_gate * gate).sum(0).add_((grad_up * up).sum(0))
            grad_gate, grad_up = grad_gate.mul_(norm), grad_up.mul_(norm)
        grad_x = normalize_backward(grad_y, y, factor, add=grad)
        return grad_x, grad_norm, grad_gate, grad_up, grad_down, None, None


def gated_mlp(x: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor, eps: float, kernels: Kernels) -> Tensor:
    """Return x + down(silu(gate(y)) * up(y)), y the RMSNorm of x [N, d] with weight ``norm`` [d].

    Args:
        x: [N, d].
        norm: [d].
        gate: [I, d].
        up: [I, d].
        down: [d, I].
        eps: Epsilon of the norm.
        kernels: Matrix multiplication.
    """
    result: Tensor = _GatedMLP.apply(x, norm, gate, up, down, eps, kernels)  # type: ignore[no-untyped-call]
    return result


class _LinearResidual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None, kernels: Kernels) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.kernels = kernels
        return kernels.forward(inputs, weight, bias, add=x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        kernels: Kernels = ctx.kernels
        inputs, weight = ctx.saved_tensors
        grad_weight = kernels.to_weight(grad, inputs) if ctx.needs_input_grad[2] else None
        grad_bias = grad.sum(0) if ctx.needs_input_grad[3] else None
        return grad, kernels.to_input(grad, weight), grad_weight, grad_bias, None


def linear_residual(x: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None, kernels: Kernels) -> Tensor:
    """Return x + inputs weightᵀ + bias for x [N, d], inputs [N, in], weight [d, in] and bias [d]."""
    result: Tensor = _LinearResidual.apply(x, inputs, weight, bias, kernels)  # type: ignore[no-untyped-call]
    return result


def spread(slots: Tensor, gather: Gather) -> Tensor:
    """Sum the slots [S, d] of every row [R, d]: the transpose of copying rows into slots."""
    return F.embedding_bag(gather.bags, slots, gather.offsets, mode="sum")


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, gather: Gather) -> Tensor:
        ctx.gather = gather
        return rows.index_select(0, gather.index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        return spread(grad, ctx.gather), None


def select(rows: Tensor, gather: Gather) -> Tensor:
    """Copy rows [R, d] into slots [S, d]; the gather has no padding."""
    slots: Tensor = _Select.apply(rows, gather)  # type: ignore[no-untyped-call]
    return slots
