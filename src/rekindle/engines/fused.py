"""Decoding of Llama-like models directly on their weights, with few operations per token and a preallocated cache.

It is faster than a forward pass per token through transformers, on a CPU and for short rows, because:

- query, key and value projections are one matrix product, gate and up projections another;
- query and key channels are reordered so that the two halves of a rotary pair are neighbours; the rotation is then one
  complex multiplication, and the dot products of attention do not depend on the order of channels;
- attention over the cache is two batched matrix products and a softmax, with the width rounded up to a multiple of 16,
  the length of the widest vectors: a softmax over 8 numbers takes nine times as long as one over 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rekindle.engines.decoders import Kept, load_kept, positions_of
from rekindle.models.architecture import DecoderWeights, LayerWeights, find_decoder
from rekindle.models.kernels import Kernels, Prepared
from rekindle.models.policy import Policy

__all__ = ["FusedCache", "FusedDecoder"]

WINDOW = 16
MASKED = -1e30
"""Finite, so that a row without columns does not give NaN."""


@dataclass(frozen=True, slots=True)
class _FusedLayer:
    """One block: H query heads and K key-value heads of D channels, hidden size d, intermediate size I."""

    input_norm: Tensor  # [d]
    qkv: Prepared  # [(H + 2K) D, d]
    qkv_bias: Tensor | None
    head_norms: Tensor | None  # [H + K, D]
    o: Prepared  # [d, H D]
    o_bias: Tensor | None
    post_norm: Tensor  # [d]
    gate_up: Prepared  # [2 I, d]
    down: Prepared  # [d, I]


@dataclass(slots=True)
class FusedCache:
    """Keys and values of B rows in L layers, with room for ``capacity`` columns, a multiple of 16.

    Attributes:
        keys: [L, B, K, capacity, D].
        values: [L, B, K, capacity, D].
        bias: [B, 1, 1, capacity] added to attention scores: 0 where a row has a token, very negative elsewhere.
        starts: [B] first column of each row.
        columns: Number of columns written.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    starts: Tensor
    columns: int

    @classmethod
    def empty(cls, like: Tensor, shape: tuple[int, int, int, int], starts: Tensor, columns: int) -> "FusedCache":
        """Return a cache of shape (layers, rows, key-value heads, head channels) with dtype and device of ``like``."""
        layers, rows, heads, channels = shape
        capacity = _rounded(columns + _headroom(columns))
        keys, values = (like.new_empty(layers, rows, heads, capacity, channels) for _ in range(2))
        cache = cls(keys, values, _bias(starts, columns, capacity), starts, columns)
        cache._clear(0, _rounded(columns))
        return cache

    def _clear(self, first: int, end: int) -> None:
        """Zero columns before they are read: masked values are multiplied by 0, and 0 * NaN is NaN."""
        self.keys[..., first:end, :] = 0
        self.values[..., first:end, :] = 0

    def put(self, slots: Tensor, prompts: "FusedCache", rows: Tensor) -> None:
        """Replace rows in place; see `rekindle.engines.decoders.Cache`."""
        width = min(prompts.columns, self.columns)
        new, old = slice(self.columns - width, self.columns), slice(prompts.columns - width, prompts.columns)
        self.keys[:, slots, :, new] = prompts.keys[:, rows, :, old]
        self.values[:, slots, :, new] = prompts.values[:, rows, :, old]
        self.starts[slots] = prompts.starts[rows] + (self.columns - prompts.columns)
        self.bias[slots] = _bias(self.starts[slots], self.columns, self.bias.shape[-1])

    def compact(self, to: Tensor, moved: Tensor, count: int) -> None:
        """Move rows into gaps; see `rekindle.engines.decoders.Cache`."""
        for part in (self.keys, self.values):
            part[:, to] = part[:, moved]
        for part in (self.bias, self.starts):
            part[to] = part[moved]
        self.keys, self.values = self.keys[:, :count], self.values[:, :count]
        self.bias, self.starts = self.bias[:count], self.starts[:count]

    def shift(self, columns: int) -> None:
        """Realign the columns; see `rekindle.engines.decoders.Cache`."""
        layers, rows, heads, _, channels = self.keys.shape
        starts = self.starts + (columns - self.columns)
        moved = FusedCache.empty(self.keys, (layers, rows, heads, channels), starts, columns)
        kept = min(columns, self.columns)
        new, old = slice(columns - kept, columns), slice(self.columns - kept, self.columns)
        moved.keys[..., new, :] = self.keys[..., old, :]
        moved.values[..., new, :] = self.values[..., old, :]
        self.keys, self.values, self.bias = moved.keys, moved.values, moved.bias
        self.starts, self.columns = starts, columns

    def take(self, slots: Tensor) -> "FusedCache":
        """Copy rows; see `rekindle.engines.decoders.Cache`."""
        starts = self.starts[slots]
        left = int(starts.min())
        keys, values = (part[:, slots, :, left : self.columns] for part in (self.keys, self.values))
        return FusedCache(keys, values, self.bias[slots, ..., left : self.columns], starts - left, self.columns - left)

    def load(self, row: int, kept: "FusedCache", source: int, count: int, end: int) -> None:
        """Copy the beginning of a row; see `rekindle.engines.decoders.Cache`."""
        start = int(kept.starts[source])
        self.keys[:, row, :, end - count : end] = kept.keys[:, source, :, start : start + count]
        self.values[:, row, :, end - count : end] = kept.values[:, source, :, start : start + count]

    def open_column(self) -> int:
        """Make room for one more column, unmask it for every row and return its index."""
        column = self.columns
        if column == self.bias.shape[-1]:
            more = _headroom(column)
            self.keys = F.pad(self.keys, (0, 0, 0, more))
            self.values = F.pad(self.values, (0, 0, 0, more))
            self.bias = F.pad(self.bias, (0, more), value=MASKED)
        if column % WINDOW == 0:
            self._clear(column, column + WINDOW)
        self.bias[..., column] = 0
        self.columns += 1
        return column


class FusedDecoder:
    """Decodes with fused copies of a policy's weights; `refresh` updates the copies.

    The copies take about two thirds of the memory of the blocks' weights; all of it, and that of the head, where the
    weights are prepared for oneDNN.

    Args:
        policy: A policy whose model `find_decoder` supports.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the current weights."""
        weights = find_decoder(self._policy.model)
        assert weights is not None
        self._weights = weights
        kernels = self._kernels = self._policy.kernels
        self._head = kernels.prepare(weights.head.float() if self._policy.float32_head else weights.head)
        order = _neighbouring_pairs(weights)
        self._layers = [_fused(layer, weights, order, kernels) for layer in weights.layers]

    def empty(self, slots: int, columns: int) -> FusedCache:
        """Return a cache of free rows; see `rekindle.engines.decoders.Decoder`."""
        weights = self._weights
        starts = torch.full((slots,), columns, device=weights.embedding.device)
        return FusedCache.empty(weights.embedding, self._shape(slots), starts, columns)

    def _shape(self, rows: int) -> tuple[int, int, int, int]:
        return len(self._layers), rows, self._weights.kv_heads, self._weights.head_dim

    def prefill(
        self, tokens: Tensor, starts: Tensor, columns: int, kept: Sequence[Kept[FusedCache]] = ()
    ) -> tuple[Tensor, FusedCache]:
        """Run left-padded prompts through the model; see `rekindle.engines.decoders.Decoder`."""
        weights = self._weights
        rows, width = tokens.shape
        first = columns - width
        x = F.embedding(tokens.flatten(), weights.embedding)
        rotation = self._rotation(positions_of(starts, first, width, weights.max_length).flatten())
        cache = FusedCache.empty(x, self._shape(rows), starts, columns)
        load_kept(cache, kept, first)
        mask = _prompt_mask(starts, first, columns)
        for index, layer in enumerate(self._layers):
            q, k, v = (
                part.view(rows, width, -1, weights.head_dim).transpose(1, 2) for part in self._qkv(layer, x, rotation)
            )
            cache.keys[index, :, :, first:columns] = k
            cache.values[index, :, :, first:columns] = v
            if first:
                k, v = cache.keys[index, :, :, :columns], cache.values[index, :, :, :columns]
            groups = weights.heads // weights.kv_heads
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = self._finish(layer, x, mixed.transpose(1, 2).reshape(rows * width, -1))
        return self._logits(x.view(rows, width, -1)[:, -1].contiguous()), cache

    def step(self, cache: FusedCache, tokens: Tensor) -> Tensor:
        """Append one token to every row; see `rekindle.engines.decoders.Decoder`."""
        column = cache.open_column()
        window = _rounded(cache.columns)
        bias = cache.bias[..., :window]
        x = F.embedding(tokens, self._weights.embedding)
        rotation = self._rotation(positions_of(cache.starts, column, 1, self._weights.max_length).flatten())
        for index, layer in enumerate(self._layers):
            q, k, v = self._qkv(layer, x, rotation)
            keys, values = cache.keys[index], cache.values[index]
            keys[:, :, column] = k
            values[:, :, column] = v
            x = self._finish(layer, x, self._attend(q, keys[:, :, :window], values[:, :, :window], bias))
        return self._logits(x)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the RMSNorm of x [..., D], times the weight, which broadcasts."""
        if x.is_cuda:  # one kernel on a GPU; on a CPU torch runs nine operations
            return F.rms_norm(x, x.shape[-1:], None, self._weights.norm_eps) * weight
        wide = x.float()
        mean_square = torch.linalg.vecdot(wide, wide).mul_(1 / x.shape[-1])
        normed: Tensor = wide * mean_square.add_(self._weights.norm_eps).rsqrt_().unsqueeze(-1)
        return normed.to(x.dtype).mul_(weight)

    def _rotation(self, positions: Tensor) -> Tensor:
        """Return e^(i position frequency) [N, 1, D/2], complex64."""
        angles = positions[:, None].to(torch.float32) * self._weights.inv_freq
        return torch.polar(torch.full_like(angles, self._weights.rope_scale), angles)[:, None]

    def _qkv(self, layer: _FusedLayer, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries [N, H, D] and keys [N, K, D], and values [N, K, D], of hidden states [N, d]."""
        weights = self._weights
        normed = self._norm(x, layer.input_norm)
        projected = self._kernels.decoded(normed, layer.qkv, layer.qkv_bias).view(x.shape[0], -1, weights.head_dim)
        rotated_heads = weights.heads + weights.kv_heads
        qk, v = projected[:, :rotated_heads], projected[:, rotated_heads:]
        if layer.head_norms is not None:
            qk = self._norm(qk, layer.head_norms)
        pairs = torch.view_as_complex(qk.float().view(*qk.shape[:-1], -1, 2))
        qk = torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)
        return qk[:, : weights.heads], qk[:, weights.heads :], v

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Return attention's output [B, H D] for one query per row [B, H, D], keys and values [B, K, W, D]."""
        rows, heads, channels = q.shape
        kv_heads = keys.shape[1]
        grouped = q.reshape(rows * kv_heads, heads // kv_heads, channels)
        scores = torch.bmm(grouped, keys.flatten(0, 1).transpose(1, 2)).view(rows, kv_heads, heads // kv_heads, -1)
        scores = torch.add(bias, scores.float(), alpha=channels**-0.5)
        shares = torch.softmax(scores, dim=-1).to(q.dtype).flatten(0, 1)
        return torch.bmm(shares, values.flatten(0, 1)).view(rows, heads * channels)

    def _finish(self, layer: _FusedLayer, x: Tensor, mixed: Tensor) -> Tensor:
        """Return the block's output [N, d] from its input and its heads' outputs [N, H D]."""
        x = self._kernels.decoded(mixed, layer.o, layer.o_bias, add=x)
        gate, up = self._kernels.decoded(self._norm(x, layer.post_norm), layer.gate_up).chunk(2, dim=-1)
        return self._kernels.decoded(F.silu(gate).mul_(up), layer.down, add=x)

    def _logits(self, x: Tensor) -> Tensor:
        dtype = torch.float32 if self._policy.float32_head else x.dtype
        return self._kernels.decoded(self._norm(x, self._weights.final_norm).to(dtype), self._head)


def _rounded(columns: int) -> int:
    return -(-columns // WINDOW) * WINDOW


def _headroom(columns: int) -> int:
    """Return the number of columns to add: a balance of few copies and little unused memory."""
    return max(2 * WINDOW, _rounded(columns // 2))


def _bias(starts: Tensor, columns: int, capacity: int) -> Tensor:
    """Return [B, 1, 1, capacity]: 0 from each row's start to the newest column, very negative elsewhere."""
    column = torch.arange(capacity, device=starts.device)
    visible = (column >= starts[:, None]) & (column < columns)
    return torch.zeros(visible.shape, device=starts.device).masked_fill_(~visible, MASKED)[:, None, None]


def _prompt_mask(starts: Tensor, first: int, columns: int) -> Tensor:
    """Return [R, 1, P, W], True where a query of the last P columns may attend: back to its row's start.

    Padding attends to itself only.
    """
    column = torch.arange(columns, device=starts.device)
    causal = column[first:, None] >= column
    itself = column[first:, None] == column
    return (causal & (column >= starts[:, None, None]) | itself)[:, None]


def _neighbouring_pairs(weights: DecoderWeights) -> Tensor:
    """Return the order of qkv rows [(H + 2K) D] in which the two channels of each rotary pair are neighbours."""
    half = weights.head_dim // 2
    device = weights.embedding.device
    in_head = torch.arange(weights.head_dim, device=device).view(2, half).t().flatten()
    rotated = weights.heads + weights.kv_heads
    heads = torch.arange(rotated + weights.kv_heads, device=device)[:, None] * weights.head_dim
    values = torch.arange(weights.head_dim, device=device).expand(weights.kv_heads, -1)
    return (heads + torch.cat([in_head.expand(rotated, -1), values])).flatten()


def _fused(layer: LayerWeights, weights: DecoderWeights, order: Tensor, kernels: Kernels) -> _FusedLayer:
    bias = None
    if layer.q_bias is not None and layer.k_bias is not None and layer.v_bias is not None:
        bias = torch.cat([layer.q_bias, layer.k_bias, layer.v_bias])[order]
    norms = None
    if layer.q_norm is not None and layer.k_norm is not None:
        both = [layer.q_norm.expand(weights.heads, -1), layer.k_norm.expand(weights.kv_heads, -1)]
        norms = torch.cat(both)[:, order[: weights.head_dim]]
    return _FusedLayer(
        input_norm=layer.input_norm,
        qkv=kernels.prepare(torch.cat([layer.q, layer.k, layer.v]).index_select(0, order)),
        qkv_bias=bias,
        head_norms=norms,
        o=kernels.prepare(layer.o),
        o_bias=layer.o_bias,
        post_norm=layer.post_norm,
        gate_up=kernels.prepare(torch.cat([layer.gate, layer.up])),
        down=kernels.prepare(layer.down),
    )
