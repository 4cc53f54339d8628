"""The packed layout of a micro-batch for our own forward pass.

Every token is stored once, in one packed sequence without padding; rows of a group share the tokens of their identical
prompt. Norms, projections and the feed-forward part work on packed tokens. Attention alone needs rows. It works on
*units*: a run of queries with the keys they may see. Units of similar size form a block and are padded to its shape.
Index arrays, built once for all layers, map packed heads to the blocks' slots and back.

    packed    p0 p1 | a0 a1 | b0 | q0 q1 q2      two rows share the prompt p; the row q shares nothing
    units     queries p0 p1, keys p0 p1          queries a0 a1, keys p0 p1 a0 a1
              queries b0,    keys p0 p1 b0       queries q0 q1 q2, keys q0 q1 q2

Letters: N packed tokens, H query heads, K key/value heads, G = H / K, D head dimension; in a block B units, T queries,
S keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rekindle.models.samples import IntArray, SampleRow

__all__ = ["Block", "Gather", "Heads", "Layout", "pack"]

_FREE_PADDING = 2**12
"""Padding, in elements of the score matrix, that costs less than one more block."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Number of query heads and of key/value heads; a packed token stores queries, then keys, then values."""

    query: int
    key: int

    @property
    def stored(self) -> int:
        """Heads per packed token."""
        return self.query + 2 * self.key

    @property
    def rotated(self) -> int:
        """Heads with a rotary position: queries and keys."""
        return self.query + self.key


@dataclass(frozen=True, slots=True)
class Gather:
    """The row of a matrix that is copied into each slot. Several slots may copy the same row; padding slots copy none.

    Attributes:
        index: [slots] row copied into each slot; 0 for padding.
        padding: [p] slots that are padding.
        bags: [slots - p] slots of row 0, then of row 1, ...: the transpose of ``index``.
        offsets: [rows] start of each row's slots in ``bags``.
    """

    index: Tensor
    padding: Tensor
    bags: Tensor
    offsets: Tensor


@dataclass(frozen=True, slots=True)
class Block:
    """Units of similar size, padded to T queries and S keys.

    Attributes:
        shape: (B, T, S).
        mask: [B or 1, T, S] float32, 0 where a query may see a key, -inf elsewhere; every query sees some key.
    """

    shape: tuple[int, int, int]
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """A packed micro-batch.

    Attributes:
        token_ids: [U] distinct tokens.
        tokens: Gather from distinct tokens [U] to packed tokens [N].
        positions: [N] position of each token in its row, for the rotary embedding.
        longest: Largest position plus one.
        predictors: Gather from packed tokens [N] to targets: the predictor of each trainable token, in row order.
        blocks: Blocks of attention.
        inputs: Gather from packed heads [N * stored] to slots: per block queries [B, K, G, T], keys [B, K, S] and
            values.
        outputs: Gather from packed query heads [N * H] to output slots: per block [B, K, G, T].
    """

    token_ids: Tensor
    tokens: Gather
    positions: Tensor
    longest: int
    predictors: Gather
    blocks: tuple[Block, ...]
    inputs: Gather
    outputs: Gather


def pack(rows: Sequence[SampleRow], heads: Heads, device: torch.device) -> Layout:
    """Lay out rows, each with at least one target."""
    packer = _Packer()
    predictors: list[IntArray] = [np.empty(0, np.int64)] * len(rows)
    for members in _shared_prompts(rows):
        shared = rows[members[0]].prompt_length if len(members) > 1 else 0
        prefix = packer.add(rows[members[0]].inputs[:shared], 0, 0)
        for member in members:
            wanted = rows[member].predictors
            start = packer.add(rows[member].inputs[shared:], prefix, shared)
            predictors[member] = np.where(wanted < shared, prefix + wanted, start + wanted - shared)
    return _layout(packer, np.concatenate(predictors), heads, device)


def _shared_prompts(rows: Sequence[SampleRow]) -> list[list[int]]:
    """Group the rows whose keys and prompt tokens are both equal, in order of appearance."""
    groups: dict[tuple[int, bytes], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row.prompt_key, row.inputs[: row.prompt_length].tobytes()), []).append(index)
    return list(groups.values())


class _Packer:
    """Appends runs of tokens to the packed sequence, each as a unit.

    A unit is (first packed token, number of tokens, first packed token of the prefix it sees, length of that prefix).
    """

    def __init__(self) -> None:
        self.tokens: list[IntArray] = []
        self.positions: list[IntArray] = []
        self.units: list[tuple[int, int, int, int]] = []
        self.total = 0

    def add(self, tokens: IntArray, prefix_start: int, prefix_length: int) -> int:
        """Append tokens that follow a prefix; return their start."""
        start = self.total
        if tokens.size:
            self.tokens.append(tokens)
            self.positions.append(np.arange(prefix_length, prefix_length + tokens.size))
            self.units.append((start, tokens.size, prefix_start, prefix_length))
            self.total += tokens.size
        return start


def _layout(packer: _Packer, predictors: IntArray, heads: Heads, device: torch.device) -> Layout:
    blocks: list[Block] = []
    inputs: list[IntArray] = []
    outputs: list[IntArray] = []
    for units in _similar(np.array(packer.units, dtype=np.int64)):
        queries, keys, mask = _padded(units)
        blocks.append(Block((*queries.shape, keys.shape[1]), torch.from_numpy(mask).to(device)))
        inputs += [_slots(queries, heads.stored, 0, heads.query)]
        inputs += [_slots(keys, heads.stored, first, heads.key) for first in (heads.query, heads.rotated)]
        outputs += [_slots(queries, heads.query, 0, heads.query)]
    positions = np.concatenate(packer.positions)
    distinct, tokens = np.unique(np.concatenate(packer.tokens), return_inverse=True)
    return Layout(
        token_ids=torch.from_numpy(distinct).to(device),
        tokens=_gather(tokens, distinct.size, device),
        positions=torch.from_numpy(positions).to(device),
        longest=int(positions.max()) + 1,
        predictors=_gather(predictors, packer.total, device),
        blocks=tuple(blocks),
        inputs=_gather(np.concatenate(inputs), packer.total * heads.stored, device),
        outputs=_gather(np.concatenate(outputs), packer.total * heads.query, device),
    )


def _similar(units: IntArray) -> Iterator[IntArray]:
    """Split units [U, 4] into blocks of similar size, large ones first, to keep padding small."""
    length, prefix_length = units[:, 1], units[:, 3]
    area = length * (length + prefix_length)
    order = np.argsort(-area, kind="stable")
    first, real, width, height = 0, 0, 0, 0
    for count, unit in enumerate(order):
        width = max(width, int(length[unit]))
        height = max(height, int(length[unit] + prefix_length[unit]))
        real += int(area[unit])
        if width * height * (count - first + 1) > real + _FREE_PADDING:
            yield units[order[first:count]]
            first, real = count, int(area[unit])
            width, height = int(length[unit]), int(length[unit] + prefix_length[unit])
    yield units[order[first:]]


def _padded(units: IntArray) -> tuple[IntArray, IntArray, NDArray[np.float32]]:
    """Return packed tokens of queries [B, T] and keys [B, S], -1 for padding, and the mask [B or 1, T, S]."""
    start, length, prefix_start, prefix_length = (column[:, None] for column in units.T)
    query = np.arange(length.max())[None]
    key = np.arange((prefix_length + length).max())[None]
    queries = np.where(query < length, start + query, -1)
    keys = np.where(key < prefix_length, prefix_start + key, start + key - prefix_length)
    keys = np.where(key < prefix_length + length, keys, -1)
    reach = prefix_length if np.any(prefix_length != prefix_length[0]) else prefix_length[:1]
    hidden = key[:, None, :] > query[:, :, None] + reach[:, :, None]
    return queries, keys, np.where(hidden, np.float32(-np.inf), np.float32(0))


def _slots(tokens: IntArray, stride: int, first: int, count: int) -> IntArray:
    """Return the row of each head of each token, heads before tokens: [B, X] to flat [B * count * X]; -1 stays -1."""
    rows = tokens[:, None, :] * stride + first + np.arange(count)[None, :, None]
    return np.where(tokens[:, None, :] < 0, -1, rows).reshape(-1)


def _gather(source: IntArray, rows: int, device: torch.device) -> Gather:
    """Build a gather over ``rows`` rows from the row of each slot, -1 for padding."""
    padding = np.flatnonzero(source < 0)
    bags = np.argsort(source, kind="stable")[padding.size :]
    counts = np.bincount(source[bags], minlength=rows)
    offsets = np.cumsum(counts) - counts
    index = np.maximum(source, 0)
    return Gather(*(torch.from_numpy(array).to(device) for array in (index, padding, bags, offsets)))
