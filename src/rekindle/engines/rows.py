"""The rows of one generation: their requests and options (`RowTable`), and their sampled tokens (`Board`).

A request for n completions is n rows. Rows are numbered request by request. During decoding a row occupies a slot of
the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from rekindle.engines.engine import SamplingRequest
from rekindle.engines.sampling import SamplingSettings, row_keys

__all__ = ["Board", "RowOptions", "RowTable"]


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Options of B rows for the decoding loop, on the model's device.

    Attributes:
        settings: Sampling settings.
        prompt_lengths: [B] int64.
        limits: [B] int64 length in tokens, prompt included, at which the row ends.
    """

    settings: SamplingSettings
    prompt_lengths: Tensor
    limits: Tensor

    def select(self, rows: Tensor) -> "RowOptions":
        """Return the options of some rows, in the order of their indexes [R]."""
        return RowOptions(self.settings.select(rows), self.prompt_lengths[rows], self.limits[rows])

    def joined(self, more: "RowOptions") -> "RowOptions":
        """Return the options of these rows and of more."""
        return RowOptions(
            self.settings.joined(more.settings),
            torch.cat([self.prompt_lengths, more.prompt_lengths]),
            torch.cat([self.limits, more.limits]),
        )


class RowTable:
    """All rows of one generation. A further turn of a conversation is a new request with one row.

    Attributes:
        requests: The sampling requests.
        options: Options of every row.
        owners: [R] index of each row's request.
        device: Device of the model.

    Args:
        requests: Valid requests.
        max_length: Number of positions of the model.
    """

    def __init__(self, requests: Sequence[SamplingRequest], max_length: int, device: torch.device) -> None:
        self.requests = list(requests)
        self.owners = [index for index, request in enumerate(requests) for _ in range(request.n)]
        self.device = device
        self._max_length = max_length
        self._firsts = list(accumulate((request.n for request in requests), initial=0))
        self.options = _options(requests, max_length, device)

    def __len__(self) -> int:
        return len(self.owners)

    def append(self, requests: Sequence[SamplingRequest]) -> range:
        """Add requests of one row each; return the new rows.

        Raises:
            ValueError: A prompt leaves no room in the context.
        """
        longest = max(len(request.prompt_ids) for request in requests)
        if longest >= self._max_length:
            raise ValueError(f"a conversation of {longest} tokens leaves no room for a turn in {self._max_length}")
        rows = range(len(self), len(self) + len(requests))
        self.owners += range(len(self.requests), len(self.requests) + len(requests))
        self.requests += requests
        self._firsts += range(rows.start + 1, rows.stop + 1)
        self.options = self.options.joined(_options(requests, self._max_length, self.device))
        return rows

    def request(self, row: int) -> SamplingRequest:
        """Return the request of a row."""
        return self.requests[self.owners[row]]

    def rows_of(self, request: int) -> range:
        """Return the row numbers of a request."""
        return range(self._firsts[request], self._firsts[request + 1])


def _options(requests: Sequence[SamplingRequest], max_length: int, device: torch.device) -> RowOptions:
    counts = torch.tensor([request.n for request in requests])

    def column(value: Callable[[SamplingRequest], float], dtype: torch.dtype) -> Tensor:
        return torch.tensor([value(request) for request in requests], dtype=dtype).repeat_interleave(counts).to(device)

    def optional(value: Callable[[SamplingRequest], float], unused: float, dtype: torch.dtype) -> Tensor | None:
        return column(value, dtype) if any(value(request) != unused for request in requests) else None

    completions = torch.cat([torch.arange(request.n) for request in requests]).to(device)
    settings = SamplingSettings(
        keys=row_keys(column(lambda request: _signed(request.seed), torch.int64), completions),
        temperatures=column(lambda request: request.temperature or 1.0, torch.float32),
        greedy=optional(lambda request: request.temperature == 0, False, torch.bool),
        top_k=optional(lambda request: request.top_k, 0, torch.int64),
        top_p=optional(lambda request: request.top_p, 1.0, torch.float32),
        min_p=optional(lambda request: request.min_p, 0.0, torch.float32),
        min_new_tokens=optional(lambda request: request.min_new_tokens, 0, torch.int64),
    )
    return RowOptions(
        settings=settings,
        prompt_lengths=column(lambda request: len(request.prompt_ids), torch.int64),
        limits=column(lambda r: min(len(r.prompt_ids) + r.max_new_tokens, max_length), torch.int64),
    )


def _signed(seed: int) -> int:
    """Return the signed 64-bit number with the same low 64 bits."""
    return (seed + 2**63) % 2**64 - 2**63


@dataclass(slots=True)
class Board:
    """Tokens sampled for B slots, in the columns of the cache.

    Attributes:
        tokens: [B, W] int64.
        logprobs: [B, W] float32.
    """

    tokens: Tensor
    logprobs: Tensor

    @classmethod
    def empty(cls, slots: int, device: torch.device) -> "Board":
        """Return a board without columns; it grows as columns are written."""
        return cls(torch.zeros(slots, 0, dtype=torch.int64, device=device), torch.zeros(slots, 0, device=device))

    def record(self, slots: Tensor | slice, column: int, tokens: Tensor, logprobs: Tensor) -> None:
        """Write the sampled tokens of some slots."""
        if column >= self.tokens.shape[1]:
            more = (0, 2 * column + 32 - self.tokens.shape[1])
            self.tokens, self.logprobs = F.pad(self.tokens, more), F.pad(self.logprobs, more)
        self.tokens[slots, column] = tokens
        self.logprobs[slots, column] = logprobs

    def compact(self, to: Tensor, moved: Tensor, count: int) -> None:
        """Copy the slots ``moved`` [M] onto ``to`` [M], then keep only the first ``count`` slots."""
        for part in (self.tokens, self.logprobs):
            part[to] = part[moved]
        self.tokens, self.logprobs = self.tokens[:count], self.logprobs[:count]

    def shift(self, columns: int) -> None:
        """Move everything ``columns`` columns to the right, or to the left when negative."""
        self.tokens, self.logprobs = F.pad(self.tokens, (columns, 0)), F.pad(self.logprobs, (columns, 0))

    def read(self, slots: Tensor, columns: slice) -> tuple[list[list[int]], list[list[float]]]:
        """Return tokens and log-probabilities of some slots and columns."""
        return self.tokens[slots, columns].tolist(), self.logprobs[slots, columns].tolist()
