"""The rows of one generation: what was asked of each (`RowTable`) and what has been sampled (`Board`).

A request for n completions is n rows. Rows have numbers: the rows of the first request, then those of the second, and so
on. While it is decoded, a row sits in a slot of the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rekindle.engines.protocol import SamplingRequest
from rekindle.engines.sampling import SamplingSettings, row_keys

__all__ = ["Board", "RowTable"]


@dataclass(frozen=True, slots=True)
class RowTable:
    """What was asked of each of R rows.

    Attributes:
        requests: What was asked.
        settings: Sampling settings of the R rows.
        prompt_lengths: [R] int64.
        limits: [R] int64 greatest number of tokens, prompt included.
        owners: [R] (index of the request, index of the completion within it).
    """

    requests: Sequence[SamplingRequest]
    settings: SamplingSettings
    prompt_lengths: Tensor
    limits: Tensor
    owners: list[tuple[int, int]]

    @classmethod
    def of(cls, requests: Sequence[SamplingRequest], max_length: int, device: torch.device) -> "RowTable":
        """Lay out valid requests for a model with ``max_length`` positions."""
        counts = torch.tensor([request.n for request in requests])
        owners = [(index, completion) for index, request in enumerate(requests) for completion in range(request.n)]

        def column(value: Callable[[SamplingRequest], float], dtype: torch.dtype) -> Tensor:
            values = torch.tensor([value(request) for request in requests], dtype=dtype)
            return values.repeat_interleave(counts).to(device)

        def length_limit(request: SamplingRequest) -> int:
            return min(len(request.prompt_ids) + request.max_new_tokens, max_length)

        completions = torch.tensor([completion for _, completion in owners], device=device)
        real, whole = torch.float32, torch.int64
        settings = SamplingSettings(
            keys=row_keys(column(lambda r: _signed(r.seed), whole), completions),
            temperatures=column(lambda r: r.temperature or 1.0, real)[:, None],
            greedy=column(lambda r: r.temperature == 0, torch.bool) if any(r.temperature == 0 for r in requests) else None,
            top_p=column(lambda r: r.top_p, real)[:, None] if any(r.top_p < 1 for r in requests) else None,
            min_p=column(lambda r: r.min_p, real)[:, None] if any(r.min_p > 0 for r in requests) else None,
            min_new_tokens=column(lambda r: r.min_new_tokens, whole) if any(r.min_new_tokens for r in requests) else None,
        )
        lengths = column(lambda r: len(r.prompt_ids), whole)
        return cls(requests, settings, lengths, column(length_limit, whole), owners)

    def __len__(self) -> int:
        return len(self.owners)

    def request_of(self, row: int) -> SamplingRequest:
        """Return the request that row number ``row`` belongs to."""
        return self.requests[self.owners[row][0]]


def _signed(seed: int) -> int:
    """Return the signed 64-bit number with the same low 64 bits."""
    return (seed + 2**63) % 2**64 - 2**63


@dataclass(slots=True)
class Board:
    """Sampled tokens and log-probabilities of B slots, in the columns of the cache.

    Attributes:
        tokens: [B, W] int64.
        logprobs: [B, W] float32.
    """

    tokens: Tensor
    logprobs: Tensor

    @classmethod
    def empty(cls, slots: int, columns: int, device: torch.device) -> "Board":
        """Return a board with room for some columns more than ``columns``."""
        shape = (slots, columns + 64)
        return cls(torch.zeros(shape, dtype=torch.int64, device=device), torch.zeros(shape, device=device))

    def record(self, slots: Tensor | slice, column: int, tokens: Tensor, logprobs: Tensor) -> None:
        """Write what was sampled for some slots, growing when the board is full."""
        if column == self.tokens.shape[1]:
            self.tokens = torch.nn.functional.pad(self.tokens, (0, column))
            self.logprobs = torch.nn.functional.pad(self.logprobs, (0, column))
        self.tokens[slots, column] = tokens
        self.logprobs[slots, column] = logprobs

    def take(self, slots: Tensor, shift: int) -> "Board":
        """Return the board of some slots with every column moved by ``shift`` (left when negative)."""
        tokens = torch.nn.functional.pad(self.tokens[slots], (shift, 0))
        return Board(tokens, torch.nn.functional.pad(self.logprobs[slots], (shift, 0)))

    def read(self, slots: Tensor, first: int, end: int) -> tuple[list[list[int]], list[list[float]]]:
        """Return tokens and log-probabilities of the columns ``first`` to ``end`` (exclusive) of some slots."""
        return self.tokens[slots, first:end].tolist(), self.logprobs[slots, first:end].tolist()
