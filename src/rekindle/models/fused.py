"""Blocks of a Llama-shaped decoder as autograd functions with analytic backward passes.

Each does what autograd would do over several elementary operations, with fewer passes over memory:

- RMSNorm's weight is folded into the matrix that follows it: (x r) ⊙ w times Wᵀ is (x r) times (W ⊙ w)ᵀ, and W ⊙ w is
  small where x is long. The folded matrix is computed again in the backward pass rather than kept.
- With y = x r, r = 1 / sqrt(mean(x²) + eps) and gradient g of y: dx = r (g - y mean(g ⊙ y)).
- Rotary positions are one complex multiplication: the weights are reordered so that the two numbers that rotate together
  are neighbours; scores of queries and keys reordered alike are unchanged. Undoing it is the conjugate.
- The scores' factor 1 / sqrt(D) is folded into the queries' weights.

Letters: N packed tokens, d width, I intermediate width, H query and K key/value heads, D head dimension.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rekindle.models.architecture import LayerWeights
from rekindle.models.layout import Gather, Heads

__all__ = ["AttentionShape", "attend", "attention_inputs", "attention_outputs", "gated_mlp", "rms_norm"]

Gradients = tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What one layer's projections need to know besides their weights.

    Attributes:
        heads: Numbers of heads.
        head_dim: D.
        eps: Of every RMSNorm.
        rotation: [N, 1, D/2] complex factor of each token's position.
    """

    heads: Heads
    head_dim: int
    eps: float
    rotation: Tensor


# --- normalisation


def _normalize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return x over its root mean square along the last axis, and the reciprocal root mean square, at least float32."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_accumulation(x))
    rstd = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return (x * rstd).to(x.dtype), rstd


def _normalize_backward(grad: Tensor, y: Tensor, rstd: Tensor) -> Tensor:
    """Return the gradient of x from that of y = x * rstd; overwrites ``grad`` where it can."""
    dot = torch.linalg.vecdot(grad, y).unsqueeze(-1).div_(-y.shape[-1])
    return grad.addcmul_(y, dot).mul_(rstd.to(grad.dtype))


def _accumulation(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, rstd = _normalize(x, eps)
        ctx.save_for_backward(y, rstd, weight)
        return y * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        y, rstd, weight = ctx.saved_tensors
        return _normalize_backward(grad * weight, y, rstd), (grad * y).sum(0), None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return x [N, d] over its root mean square, times weight [d]."""
    result: Tensor = _RMSNorm.apply(x, weight, eps)
    return result
