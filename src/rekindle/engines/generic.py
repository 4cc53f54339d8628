"""Decoding of any causal language model through its transformers forward pass."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from rekindle.engines.decoders import Kept, load_kept, positions_of
from rekindle.models.policy import Policy
from rekindle.types import UserError

__all__ = ["GenericCache", "GenericDecoder"]

ATTENTION = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
CACHE_NAMES = ("past_key_values", "cache")
"""Names of the cache among a model's arguments: until transformers 5.23, and from 5.24 on."""


@dataclass(slots=True)
class GenericCache:
    """Keys and values of B rows in the layout of transformers: per layer [B, K, columns, D] each.

    Attributes:
        layers: (keys, values) of each layer.
        starts: [B] first column of each row.
        columns: Number of columns written.
    """

    layers: list[tuple[Tensor, Tensor]]
    starts: Tensor
    columns: int

    def put(self, slots: Tensor, prompts: "GenericCache", rows: Tensor) -> None:
        """Replace rows in place; see `rekindle.engines.decoders.Cache`."""
        if not self.layers:  # the shapes are not known before
            self.layers = [(self.blank(keys), self.blank(values)) for keys, values in prompts.layers]
        width = min(prompts.columns, self.columns)
        for ours, theirs in zip(self.layers, prompts.layers, strict=True):
            for part, new in zip(ours, theirs, strict=True):
                part[slots, :, self.columns - width :] = new[rows, :, prompts.columns - width :]
        self.starts[slots] = prompts.starts[rows] + (self.columns - prompts.columns)

    def blank(self, like: Tensor) -> Tensor:
        """Return empty keys or values for all rows and columns; other sizes and dtype as in ``like``."""
        return like.new_zeros(len(self.starts), like.shape[1], self.columns, like.shape[3])

    def compact(self, to: Tensor, moved: Tensor, count: int) -> None:
        """Move rows into gaps; see `rekindle.engines.decoders.Cache`."""
        for part in (self.starts, *(part for layer in self.layers for part in layer)):
            part[to] = part[moved]
        self.layers = [(keys[:count], values[:count]) for keys, values in self.layers]
        self.starts = self.starts[:count]

    def take(self, slots: Tensor) -> "GenericCache":
        """Copy rows; see `rekindle.engines.decoders.Cache`."""
        starts = self.starts[slots]
        left = int(starts.min())
        layers = [(keys[slots, :, left:], values[slots, :, left:]) for keys, values in self.layers]
        return GenericCache(layers, starts - left, self.columns - left)

    def load(self, row: int, kept: "GenericCache", source: int, count: int, end: int) -> None:
        """Copy the beginning of a row; see `rekindle.engines.decoders.Cache`."""
        start = int(kept.starts[source])
        for ours, theirs in zip(self.layers, kept.layers, strict=True):
            for part, old in zip(ours, theirs, strict=True):
                part[row, :, end - count : end] = old[source, :, start : start + count]

    def shift(self, columns: int) -> None:
        """Realign the columns; see `rekindle.engines.decoders.Cache`."""
        more = columns - self.columns  # negative padding drops columns
        pad = (0, 0, more, 0)
        self.layers = [(F.pad(keys, pad), F.pad(values, pad)) for keys, values in self.layers]
        self.starts, self.columns = self.starts + more, columns


class GenericDecoder:
    """Decodes through the model's forward pass with a dynamic cache.

    Args:
        policy: The model must cache keys and values of every token.
    """

    def __init__(self, policy: Policy) -> None:
        self._model = policy.model
        self._max_length = min(policy.max_length, 2**31)  # without positions the limit is too big for a tensor
        accepted = inspect.signature(policy.model.forward).parameters
        self._cache_name = next((name for name in CACHE_NAMES if name in accepted), None)
        self._refuse_other_states()
        self._takes_positions = "position_ids" in accepted
        self._last_logits = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def _refuse_other_states(self) -> None:
        """Refuse models with other states than keys and values, such as recurrent layers."""
        config = self._model.config
        kinds = getattr(config, "layer_types", None) or ["full_attention"]
        others = sorted(set(kinds) - ATTENTION)
        if others or self._cache_name is None:
            what = f"{', '.join(others)} layers" if others else "no key-value cache"
            raise UserError(
                f"{type(self._model).__name__} has {what}; sampling needs a model whose layers are attention"
            )

    def refresh(self) -> None:
        """Do nothing: the weights are the model's own."""

    def empty(self, slots: int, columns: int) -> GenericCache:
        """Return a cache of free rows; see `rekindle.engines.decoders.Decoder`."""
        return GenericCache([], torch.full((slots,), columns, device=self._model.device), columns)

    def prefill(
        self, tokens: Tensor, starts: Tensor, columns: int, kept: Sequence[Kept[GenericCache]] = ()
    ) -> tuple[Tensor, GenericCache]:
        """Run left-padded prompts through the model; see `rekindle.engines.decoders.Decoder`."""
        cache = GenericCache([], starts, columns - tokens.shape[1])
        if cache.columns:
            cache.layers = [(cache.blank(keys), cache.blank(values)) for keys, values in kept[0].cache.layers]
            load_kept(cache, kept, cache.columns)
        return self._run(tokens, cache)

    def step(self, cache: GenericCache, tokens: Tensor) -> Tensor:
        """Append one token to every row; see `rekindle.engines.decoders.Decoder`."""
        logits, longer = self._run(tokens[:, None], cache)
        cache.layers, cache.columns = longer.layers, longer.columns
        return logits

    def _run(self, tokens: Tensor, cache: GenericCache) -> tuple[Tensor, GenericCache]:
        """Append tokens [B, N] to the cache; return logits [B, V] after the last token, and the longer cache."""
        columns = cache.columns + tokens.shape[1]
        visible = torch.arange(columns, device=tokens.device) >= cache.starts[:, None]
        positions = positions_of(cache.starts, cache.columns, tokens.shape[1], self._max_length)
        assert self._cache_name is not None, "such a model is refused"
        grown = DynamicCache(cache.layers)  # the model appends to it
        output = self._model(
            input_ids=tokens,
            attention_mask=visible.long(),
            use_cache=True,
            **{self._cache_name: grown},
            **({"position_ids": positions} if self._takes_positions else {}),
            **self._last_logits,
        )
        layers = [(layer[0], layer[1]) for layer in grown]
        return output.logits[:, -1], GenericCache(layers, cache.starts, columns)
