"""Prefill: prompts become key-value caches, once per request, several requests at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.decoders import Cache, Decoder, Kept
from rekindle.engines.rows import RowTable

__all__ = ["Prefilled", "Prefiller"]

BATCH_TOKENS = 8192
"""Most tokens of one forward pass with padding, unless a single prompt is longer."""
SMALL_BATCH_TOKENS = 1024
"""Most tokens with padding for which one padded forward pass is cheaper than two without padding."""
PADDING_SHARE = 0.25
"""Largest share of padding of a larger forward pass."""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """The prompts of R requests after one forward pass.

    Attributes:
        requests: [R] indexes of the requests.
        logits: [R, V] after each prompt's last token.
        cache: Cache of R rows.
    """

    requests: list[int]
    logits: Tensor
    cache: Cache

    def members(self, table: RowTable, rows: range) -> tuple[Tensor, list[int]]:
        """Return the prompt index [M] and the number [M] of each of ``rows`` that belongs to these requests."""
        sources: list[int] = []
        members: list[int] = []
        for source, request in enumerate(self.requests):
            mine = table.rows_of(request)
            inside = range(max(mine.start, rows.start), min(mine.stop, rows.stop))
            members.extend(inside)
            sources.extend([source] * len(inside))
        return torch.tensor(sources, device=table.device), members


class Prefiller:
    """Prefills the prompts of rows that enter the batch, and keeps a prompt while further rows of it wait.

    Args:
        decoder: Runs the model.
        table: All rows.
    """

    def __init__(self, decoder: Decoder[Any], table: RowTable) -> None:
        self._decoder = decoder
        self._table = table
        self._kept: Prefilled | None = None

    def prompts(self, rows: range) -> Iterator[Prefilled]:
        """Yield the prompts of rows, once per request; ``rows`` of successive calls are contiguous."""
        if not rows:
            return
        owners = self._table.owners
        requests = dict.fromkeys(owners[rows.start : rows.stop])
        last = owners[rows.stop - 1]
        goes_on = rows.stop < len(owners) and owners[rows.stop] == last
        kept, self._kept = self._kept, None
        if kept is not None:
            del requests[owners[rows.start]]
        lengths = {request: self._length(request) for request in requests}
        fresh = (
            self._run(batch, max(lengths[index] for index in batch)) for batch in _batches(list(requests), lengths)
        )
        for part in chain([] if kept is None else [kept], fresh):
            if goes_on and last in part.requests:
                self._kept = part
            yield part

    def continued(self, rows: range, kept: Sequence[Kept[Any]]) -> Iterator[Prefilled]:
        """Yield the prompts of rows whose first tokens are in ``kept`` [rows]; each row is its own request."""
        owners = self._table.owners
        cache_of = {owners[row]: cache for row, cache in zip(rows, kept, strict=True)}
        fresh = {request: self._length(request) - cache.tokens for request, cache in cache_of.items()}
        for batch in _batches(list(cache_of), fresh):
            yield self._run(batch, max(fresh[index] for index in batch), [cache_of[index] for index in batch])

    def _length(self, request: int) -> int:
        return len(self._table.requests[request].prompt_ids)

    def _run(self, batch: Sequence[int], width: int, kept: Sequence[Kept[Any]] = ()) -> Prefilled:
        """Run the last ``width`` tokens of prompts; the tokens before them are in ``kept``.

        For a prompt with fewer new tokens than ``width``, some kept tokens are computed again.
        """
        prompts = [self._table.requests[index].prompt_ids for index in batch]
        columns = max(map(len, prompts))
        device = self._table.device
        tokens = torch.tensor(
            [[0] * (width - len(prompt)) + list(prompt[-width:]) for prompt in prompts], device=device
        )
        starts = torch.tensor([columns - len(prompt) for prompt in prompts], device=device)
        logits, cache = self._decoder.prefill(tokens, starts, columns, kept)
        return Prefilled(list(batch), logits, cache)


def _batches(requests: Sequence[int], lengths: Mapping[int, int]) -> Iterator[list[int]]:
    """Split requests into forward passes of similar ``lengths``, with little padding and bounded size."""
    batch: list[int] = []
    real = 0
    for index in sorted(requests, key=lambda index: lengths[index]):
        length = lengths[index]
        padded = length * (len(batch) + 1)
        wasteful = padded > SMALL_BATCH_TOKENS and padded - real - length > PADDING_SHARE * padded
        if batch and (padded > BATCH_TOKENS or wasteful):
            yield batch
            batch, real = [], 0
        batch.append(index)
        real += length
    if batch:
        yield batch
