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
    return grad.addcmul_(y, dot).mul_(rstd)


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


# --- attention


def _projection(
    q: Tensor, k: Tensor, v: Tensor, q_bias: Tensor | None, k_bias: Tensor | None, v_bias: Tensor | None,
    norm: Tensor, q_norm: Tensor | None, k_norm: Tensor | None, shape: AttentionShape,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the matrix [stored * D, d], its bias, and the head norms' weights [H + K, D], scaled and reordered."""
    dim, scale = shape.head_dim, shape.head_dim**-0.5
    query_scale = scale if q_norm is None else 1.0
    weight = torch.cat([_pairs(q * query_scale, dim), _pairs(k, dim), v]) * norm
    bias = head_weight = None
    if q_bias is not None:
        bias = torch.cat([_pairs(q_bias * query_scale, dim), _pairs(k_bias, dim), v_bias])
    if q_norm is not None:
        parts = [(q_norm * scale, shape.heads.query), (k_norm, shape.heads.key)]
        head_weight = torch.cat([_pairs(part, dim).expand(count, dim) for part, count in parts])
    return weight, bias, head_weight


def _pairs(rows: Tensor, dim: int) -> Tensor:
    """Reorder each head's rows so that i and i + D/2, which rotate together, are neighbours."""
    return rows.unflatten(0, (-1, 2, dim // 2)).transpose(1, 2).flatten(0, 2)


def _rotate_(heads: Tensor, rotation: Tensor) -> None:
    """Multiply the pairs of heads [N, H + K, D] by rotation [N, 1, D/2], in place."""
    wide = heads if heads.dtype in {torch.float32, torch.float64} else heads.float()
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2))).mul_(rotation)
    if wide is not heads:
        heads.copy_(torch.view_as_real(pairs).flatten(-2))


class _AttentionInputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: AttentionShape, gather: Gather, *weights: Tensor | None) -> Tensor:
        y, rstd = _normalize(x, shape.eps)
        weight, bias, head_weight = _projection(*weights, shape)
        stored = F.linear(y, weight, bias).view(x.shape[0], shape.heads.stored, shape.head_dim)
        rotated = stored[:, : shape.heads.rotated]
        normal = head_rstd = None
        if head_weight is not None:
            normal, head_rstd = _normalize(rotated, shape.eps)
            torch.mul(normal, head_weight, out=rotated)
        _rotate_(rotated, shape.rotation)
        ctx.save_for_backward(y, rstd, normal, head_rstd, *weights)
        ctx.shape, ctx.gather = shape, gather
        return stored.view(-1, shape.head_dim).index_select(0, gather.index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_slots: Tensor) -> Gradients:
        shape, gather = ctx.shape, ctx.gather
        y, rstd, normal, head_rstd, *weights = ctx.saved_tensors
        with torch.enable_grad():
            leaves = [None if weight is None else weight.detach().requires_grad_() for weight in weights]
            weight, bias, head_weight = _projection(*leaves, shape)
        grads = F.embedding_bag(gather.bags, grad_slots, gather.offsets, mode="sum")
        grads = grads.view(y.shape[0], shape.heads.stored, shape.head_dim)
        rotated = grads[:, : shape.heads.rotated]
        _rotate_(rotated, shape.rotation.conj())
        grad_head = None
        if head_weight is not None:
            grad_head = (rotated * normal).sum(0)
            rotated.copy_(_normalize_backward(rotated * head_weight, normal, head_rstd))
        grads = grads.flatten(1)
        outputs = [(weight, grads.t() @ y), (bias, grads.sum(0)), (head_weight, grad_head)]
        outputs = [(output, grad) for output, grad in outputs if output is not None]
        inputs = [leaf for leaf in leaves if leaf is not None]
        found = iter(torch.autograd.grad([o for o, _ in outputs], inputs, [g for _, g in outputs]))
        grad_x = _normalize_backward(grads @ weight.detach(), y, rstd)
        return grad_x, None, None, *(None if leaf is None else next(found) for leaf in leaves)


def attention_inputs(x: Tensor, layer: LayerWeights, shape: AttentionShape, gather: Gather) -> Tensor:
    """Return slots [slots, D] of queries, keys and values: norm, projections, head norms and rotation of x [N, d]."""
    slots: Tensor = _AttentionInputs.apply(
        x, shape, gather, layer.q, layer.k, layer.v, layer.q_bias, layer.k_bias, layer.v_bias,
        layer.input_norm, layer.q_norm, layer.k_norm,
    )
    return slots


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        scores = torch.bmm(query, key.transpose(1, 2))
        _add_mask_(scores, mask)
        weights = torch.softmax(scores, -1)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        query, key, value, weights = ctx.saved_tensors
        grad_value = torch.bmm(weights.transpose(1, 2), grad)
        grad_weights = torch.bmm(grad, value.transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        return torch.bmm(grad_scores, key), torch.bmm(grad_scores.transpose(1, 2), query), grad_value, None


def _add_mask_(scores: Tensor, mask: Tensor) -> None:
    """Add mask [B or 1, T, S] to scores [B * K, G * T, S], in place."""
    units, queries, keys = mask.shape
    heads = scores.numel() // (units * queries * keys)
    scores.view(units, heads, queries, keys).add_(mask[:, None])


class _AttentionOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slots: Tensor, gather: Gather) -> Tensor:
        ctx.gather = gather
        return slots.index_select(0, gather.bags)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        slots = grad.index_select(0, ctx.gather.index)
        return slots.index_fill_(0, ctx.gather.padding, 0), None


# --- feed-forward


class _GatedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor, eps: float) -> Tensor:
        y, rstd = _normalize(x, eps)
        g, u = F.linear(y, gate * norm), F.linear(y, up * norm)
        a = F.silu(g)
        h = a * u
        ctx.save_for_backward(y, rstd, g, u, a, h, norm, gate, up, down)
        return torch.addmm(x, h, down.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        y, rstd, g, u, a, h, norm, gate, up, down = ctx.saved_tensors
        grad_down = grad.t() @ h
        grad_h = grad @ down
        grad_u = grad_h * a
        grad_g = torch.ops.aten.silu_backward(grad_h.mul_(u), g)
        grad_gate, grad_up = grad_g.t() @ y, grad_u.t() @ y
        grad_y = (grad_g @ (gate * norm)).addmm_(grad_u, up * norm)
        grad_x = _normalize_backward(grad_y, y, rstd).add_(grad)
        grad_norm = (grad_gate * gate).sum(0).add_((grad_up * up).sum(0))
        return grad_x, grad_norm, grad_gate.mul_(norm), grad_up.mul_(norm), grad_down, None
