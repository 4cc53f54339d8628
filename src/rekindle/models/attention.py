"""Attention of a Llama-like decoder on packed tokens, as autograd functions with analytic backward passes.

- Rotary positions are one complex multiplication: the rows of the query and key weights are reordered so that the two
  numbers that rotate together are neighbours. Attention scores do not change, because queries and keys have the same
  order. The inverse rotation multiplies by the conjugate.
- The scores' factor 1 / sqrt(D) is folded into the query weights, or into the weights of the query norm.
- Packed heads are copied into the slots of padded units, and attention's outputs back, by one gather each way (see
  `rekindle.models.layout`).

Letters: N packed tokens, H query heads, K key/value heads, G = H / K, D head dimension, d width; in a block B
units, T queries, S keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rekindle.models.architecture import LayerWeights
from rekindle.models.fused import Gradients, normalize, normalize_backward, spread
from rekindle.models.kernels import Kernels
from rekindle.models.layout import Block, Gather, Heads

__all__ = ["Projection", "attend", "attention_inputs", "attention_outputs"]

_LONGEST_EXPLICIT = 192
"""Most keys for explicit attention weights on a CPU. Measured: 2.4 times faster than torch's fused kernel at 64 keys,
equal at 200. With more keys it would also need much memory."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Shapes, rotation and kernels of a layer's query, key and value projections; the weights are separate.

    Attributes:
        heads: Numbers of heads.
        head_dim: D.
        eps: Epsilon of every RMSNorm.
        rotation: [N, 1, D/2] complex rotary factor of each token's position.
        slots: Gather from packed heads to attention slots.
        kernels: Matrix multiplication.
    """

    heads: Heads
    head_dim: int
    eps: float
    rotation: Tensor
    slots: Gather
    kernels: Kernels

    def rotated(self, rows: Tensor) -> Tensor:
        """Return the view [N, H + K, D] of packed heads [N, stored, D] that are rotated: queries and keys."""
        return rows[:, : self.heads.rotated]

    def scale(self, q_norm: Tensor | None) -> float:
        """Return the factor of the query weights; 1 with head norms, which then carry the factor."""
        return self.head_dim**-0.5 if q_norm is None else 1.0

    def fold(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Stack the rows of queries (times ``scale``), keys and values in the order of packed heads."""
        return torch.cat([_paired(q, self.head_dim) * scale, _paired(k, self.head_dim), v])

    def unfold(self, rows: Tensor, scale: float) -> list[Tensor]:
        """Return the gradients of q, k and v from the gradient of `fold`'s result."""
        q, k, v = torch.split(
            rows, [count * self.head_dim for count in (self.heads.query, self.heads.key, self.heads.key)]
        )
        return [_unpaired(q, self.head_dim).mul_(scale), _unpaired(k, self.head_dim), v]

    def fold_norms(self, q_norm: Tensor, k_norm: Tensor) -> Tensor:
        """Return the head norms' weights [H + K, D]; those of queries are multiplied by 1 / sqrt(D)."""
        query = _paired(q_norm, self.head_dim) * self.head_dim**-0.5
        key = _paired(k_norm, self.head_dim)
        return torch.cat([query.expand(self.heads.query, -1), key.expand(self.heads.key, -1)])

    def unfold_norms(self, grad: Tensor) -> list[Tensor]:
        """Return the gradients of both norms' weights [D] from the gradient of `fold_norms`' result."""
        query, key = (part.sum(0) for part in torch.split(grad, [self.heads.query, self.heads.key]))
        return [_unpaired(query, self.head_dim).mul_(self.head_dim**-0.5), _unpaired(key, self.head_dim)]


def _paired(rows: Tensor, dim: int) -> Tensor:
    """Reorder each head's rows so that i and i + D/2, which rotate together, are neighbours."""
    return torch.unflatten(rows, 0, (-1, 2, dim // 2)).transpose(1, 2).flatten(0, 2)


def _unpaired(rows: Tensor, dim: int) -> Tensor:
    """Undo `_paired`."""
    return torch.unflatten(rows, 0, (-1, dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def _rotate_(heads: Tensor, rotation: Tensor) -> None:
    """Multiply the pairs of heads [N, H + K, D] by rotation [N, 1, D/2], in place."""
    wide = heads if heads.dtype in {torch.float32, torch.float64} else heads.float()
    pairs = torch.view_as_complex(torch.unflatten(wide, -1, (-1, 2))).mul_(rotation)
    if wide is not heads:
        heads.copy_(torch.view_as_real(pairs).flatten(-2))


class _AttentionInputs(torch.autograd.Function):
    """Norm, projections, head norms and rotation, then the copy into slots."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, projection: Projection, repeats: Gather | None, norm: Tensor, *weights: Any
    ) -> Tensor:
        q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm = weights
        y, factor = normalize(x, projection.eps)
        scale = projection.scale(q_norm)
        bias = None if q_bias is None else projection.fold(q_bias, k_bias, v_bias, scale)
        rows = projection.kernels.forward(y, projection.fold(q, k, v, scale) * norm, bias)
        rows = rows.view(-1, projection.heads.stored, projection.head_dim)
        normal = head_factor = None
        if q_norm is not None:
            normal, head_factor = normalize(projection.rotated(rows), projection.eps)
            torch.mul(normal, projection.fold_norms(q_norm, k_norm), out=projection.rotated(rows))
        if repeats is not None:
            rows = rows.flatten(1).index_select(0, repeats.index).view(-1, *rows.shape[1:])
        _rotate_(projection.rotated(rows), projection.rotation)
        ctx.save_for_backward(y, factor, normal, head_factor, norm, *weights)
        ctx.projection, ctx.repeats = projection, repeats
        return rows.view(-1, projection.head_dim).index_select(0, projection.slots.index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        projection: Projection = ctx.projection
        y, factor, normal, head_factor, norm, *weights = ctx.saved_tensors
        q, k, v, q_bias, _, _, q_norm, k_norm = weights
        rows = spread(grad, projection.slots).view(-1, projection.heads.stored, projection.head_dim)
        _rotate_(projection.rotated(rows), projection.rotation.conj())
        if ctx.repeats is not None:
            rows = spread(rows.flatten(1), ctx.repeats).view(-1, *rows.shape[1:])
        grad_norms: list[Tensor] | list[None] = [None, None]
        if q_norm is not None:
            rotated = projection.rotated(rows)
            grad_norms = projection.unfold_norms((rotated * normal).sum(0))
            scaled = rotated * projection.fold_norms(q_norm, k_norm)
            rotated.copy_(normalize_backward(scaled, normal, head_factor))
        rows, scale = rows.flatten(1), projection.scale(q_norm)
        grad_biases = [None] * 3 if q_bias is None else projection.unfold(rows.sum(0), scale)
        folded = projection.fold(q, k, v, scale)
        grad_norm: Tensor | None = None
        grad_weights: list[Tensor] | list[None] = [None] * 3
        if any(ctx.needs_input_grad[3:7]):
            grad_weight = projection.kernels.to_weight(rows, y)
            grad_norm = (grad_weight * folded).sum(0)
            grad_weights = projection.unfold(grad_weight.mul_(norm), scale)
        grad_x = normalize_backward(projection.kernels.to_input(rows, folded * norm), y, factor)
        return grad_x, None, None, grad_norm, *grad_weights, *grad_biases, *grad_norms


def attention_inputs(x: Tensor, layer: LayerWeights, projection: Projection, repeats: Gather | None = None) -> Tensor:
    """Return slots [slots, D] of normed, rotated and scaled queries, of keys and of values.

    Args:
        x: [N, d] hidden states; with ``repeats`` only their distinct rows [U, d].
        layer: The weights.
        projection: Shapes, rotation and kernels.
        repeats: Gather from distinct rows to packed tokens. In the first layer the hidden states are embeddings, so
            everything but the rotation is computed once per distinct token.
    """
    weights = (layer.q, layer.k, layer.v, layer.q_bias, layer.k_bias, layer.v_bias, layer.q_norm, layer.k_norm)
    slots: Tensor = _AttentionInputs.apply(  # type: ignore[no-untyped-call]
        x, projection, repeats, layer.input_norm, *weights
    )
    return slots


def _views(slots: Tensor, blocks: Sequence[Block], heads: Heads) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield each block's queries [B * K, G * T, D], keys [B * K, S, D] and values as views of slots [slots, D]."""
    rows = [count for block in blocks for count in (block.shape[1] * heads.query // heads.key, *2 * block.shape[2:])]
    units = [block.shape[0] * heads.key for block in blocks for _ in range(3)]
    parts = torch.split(slots, [unit * count for unit, count in zip(units, rows, strict=True)])
    views = [part.view(unit, -1, slots.shape[1]) for part, unit in zip(parts, units, strict=True)]
    yield from zip(views[::3], views[1::3], views[2::3], strict=True)


def _output_views(slots: Tensor, blocks: Sequence[Block], heads: Heads) -> Iterator[Tensor]:
    """Yield each block's outputs [B * K, G * T, D] as views of output slots [slots, D]."""
    parts = torch.split(slots, [block.shape[0] * block.shape[1] * heads.query for block in blocks])
    for block, part in zip(blocks, parts, strict=True):
        yield part.view(block.shape[0] * heads.key, -1, slots.shape[1])


class _AttendExplicitly(torch.autograd.Function):
    """Attention with explicit weights: for short rows on a CPU several times faster than fused kernels."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, blocks: Sequence[Block], heads: Heads) -> Tensor:
        size = sum(block.shape[0] * block.shape[1] for block in blocks) * heads.query
        outputs = slots.new_empty(size, slots.shape[1])
        weights = []
        triples, results = _views(slots, blocks, heads), _output_views(outputs, blocks, heads)
        for block, (query, key, value), output in zip(blocks, triples, results, strict=True):
            scores = torch.bmm(query, key.transpose(1, 2))
            by_mask = (block.mask.shape[0], -1, *block.shape[1:])
            scores.view(by_mask).add_(block.mask[:, None])
            weights.append(torch.softmax(scores, -1))
            torch.bmm(weights[-1], value, out=output)
        ctx.save_for_backward(slots, *weights)
        ctx.blocks, ctx.heads = blocks, heads
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        slots, *weights = ctx.saved_tensors
        grad_slots = torch.empty_like(slots)
        inputs, into = _views(slots, ctx.blocks, ctx.heads), _views(grad_slots, ctx.blocks, ctx.heads)
        grads = _output_views(grad, ctx.blocks, ctx.heads)
        for weight, (query, key, value), out, grad_out in zip(weights, inputs, into, grads, strict=True):
            torch.bmm(weight.transpose(1, 2), grad_out, out=out[2])
            grad_weight = torch.bmm(grad_out, value.transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_weight, weight, -1, weight.dtype)
            torch.bmm(grad_scores, key, out=out[0])
            torch.bmm(grad_scores.transpose(1, 2), query, out=out[1])
        return grad_slots, None, None


def _attend_fused(slots: Tensor, blocks: Sequence[Block], heads: Heads) -> Tensor:
    """Attention by torch's fused kernels, which do not store the attention weights."""
    outputs = []
    for block, (query, key, value) in zip(blocks, _views(slots, blocks, heads), strict=True):
        units, queries, keys = block.shape
        groups = heads.query // heads.key
        keys_by_query_head, values_by_query_head = (
            part.view(units, heads.key, keys, -1).repeat_interleave(groups, 1) for part in (key, value)
        )
        mask = block.mask.to(slots.dtype)[:, None].expand(units, heads.query, -1, -1)
        output = F.scaled_dot_product_attention(
            query.reshape(units, heads.query, queries, -1),
            keys_by_query_head,
            values_by_query_head,
            attn_mask=mask,
            scale=1.0,
        )
        outputs.append(output.reshape(-1, slots.shape[1]))
    return torch.cat(outputs)


def attend(slots: Tensor, blocks: Sequence[Block], heads: Heads) -> Tensor:
    """Return output slots [output slots, D] from the slots of queries, keys and values."""
    explicit = slots.device.type == "cpu" and slots.dtype in {torch.float32, torch.float64}
    if explicit and max(block.shape[2] for block in blocks) <= _LONGEST_EXPLICIT:
        outputs: Tensor = _AttendExplicitly.apply(slots, blocks, heads)  # type: ignore[no-untyped-call]
        return outputs
    return _attend_fused(slots, blocks, heads)


class _AttentionOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slots: Tensor, gather: Gather) -> Tensor:
        ctx.gather = gather
        return slots.index_select(0, gather.bags)  # every packed query head has exactly one slot

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        slots = grad.index_select(0, ctx.gather.index)
        return slots.index_fill_(0, ctx.gather.padding, 0), None


def attention_outputs(slots: Tensor, gather: Gather, heads: Heads) -> Tensor:
    """Copy output slots [output slots, D] back to packed tokens [N, H * D]."""
    outputs: Tensor = _AttentionOutputs.apply(slots, gather)  # type: ignore[no-untyped-call]
    return outputs.view(-1, heads.query * slots.shape[1])
