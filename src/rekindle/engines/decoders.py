"""The decoder protocol of the decoding loop: prefill prompts, decode one token per row, move rows of the cache.

All rows of a cache write into the same column at each step. A row occupies the columns from its start to the newest
one, so rows of unequal length are right-aligned. A step then writes one slice instead of scattering, and a token's
position is its distance from the start of its row. Columns before the start are masked.

    column     0 1 2 3 4 5 6 | 7        newest column 6; the next step writes column 7
    row 0      . . a b c d e |          start 2
    row 1      p q r s t u v |          start 0
    row 2      . . . . . x y |          start 5, entered late
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from rekindle.models.lora import nonzero_adapter
from rekindle.models.policy import Policy

__all__ = ["Cache", "Decoder", "Kept", "agrees_with_transformers", "load_kept", "positions_of"]


class Cache(Protocol):
    """Keys and values of B rows.

    Attributes:
        columns: Number of columns written.
        starts: [B] int64 first column of each row.
    """

    columns: int
    starts: Tensor

    def put(self, slots: Tensor, prompts: Self, rows: Tensor) -> None:
        """Replace the rows at ``slots`` [R] by the rows ``rows`` [R] of ``prompts``, which is no wider than this."""
        ...

    def compact(self, to: Tensor, moved: Tensor, count: int) -> None:
        """Copy the rows ``moved`` [M] onto the rows ``to`` [M], then keep only the first ``count`` rows."""
        ...

    def shift(self, columns: int) -> None:
        """Resize to ``columns``, at least the length of the longest row in use; the newest column stays the last.

        More columns add room on the left; fewer columns drop columns on the left.
        """
        ...

    def take(self, slots: Tensor) -> Self:
        """Return a copy of the rows at ``slots`` [R] with the columns they need."""
        ...

    def load(self, row: int, kept: Self, source: int, count: int, end: int) -> None:
        """Copy the first ``count`` tokens of row ``source`` of ``kept`` into the columns of ``row`` before ``end``."""
        ...


CacheT = TypeVar("CacheT", bound=Cache)


@dataclass(frozen=True, slots=True)
class Kept(Generic[CacheT]):
    """One row of a cache, kept while its conversation is between two turns."""

    cache: CacheT
    row: int

    @property
    def tokens(self) -> int:
        """Number of tokens in the row."""
        return self.cache.columns - int(self.cache.starts[self.row])


class Decoder(Protocol[CacheT]):
    """A model that decodes one token per row and step. Call it without gradients."""

    def refresh(self) -> None:
        """Adopt changed weights; called before each generation."""
        ...

    def empty(self, slots: int, columns: int) -> CacheT:
        """Return a cache of ``slots`` free rows and ``columns`` masked columns."""
        ...

    def prefill(
        self, tokens: Tensor, starts: Tensor, columns: int, kept: Sequence[Kept[CacheT]] = ()
    ) -> tuple[Tensor, CacheT]:
        """Run the last columns of prompts through the model.

        Args:
            tokens: [R, P] int64, the last P columns of the prompts, padded on the left with any token.
            starts: [R] int64 first column of each prompt.
            columns: W, number of columns; more than P where the prompts' first tokens are in ``kept``.
            kept: [R] caches with at least the tokens before the last P of each prompt; none when W = P.

        Returns:
            Logits [R, V] after the last token, and the prompts' cache of W columns.
        """
        ...

    def step(self, cache: CacheT, tokens: Tensor) -> Tensor:
        """Append one token [B] to every row of the cache and return the logits [B, V] after it."""
        ...


def positions_of(starts: Tensor, first: int, count: int, max_length: int) -> Tensor:
    """Return positions [B, count] of the columns from ``first`` on.

    Padding gets 0. Finished rows that still occupy a slot stay within the model's positions.
    """
    columns = torch.arange(first, first + count, device=starts.device)
    return (columns - starts[:, None]).clamp_(0, max_length - 1)


def load_kept(cache: CacheT, kept: Sequence[Kept[CacheT]], end: int) -> None:
    """Fill the columns before ``end`` of a cache's rows with the first tokens of their kept rows."""
    for row, (one, start) in enumerate(zip(kept, cache.starts.tolist() if kept else (), strict=True)):
        if start < end:
            cache.load(row, one.cache, one.row, end - start, end)


def agrees_with_transformers(decoder: Decoder[Any], policy: Policy) -> bool:
    """Whether a decoder agrees with the policy's own forward pass on two unequal prompts, a pause and three steps.

    The mean total variation between next-token distributions must be below 1e-4 in float32, and below 0.05 in types of
    lower precision. Rounding gives less, a wrong computation more.
    """
    model = policy.model
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = torch.arange(1, 17, device=model.device).view(2, 8) * 7 % vocabulary
    starts = torch.tensor([0, 2], device=model.device)
    with torch.no_grad(), nonzero_adapter(model):
        decoder.refresh()
        _, begun = decoder.prefill(tokens[:, :3], starts, 3)
        begun = begun.take(torch.arange(2, device=model.device))
        logits, cache = decoder.prefill(tokens[:, 3:5], starts, 5, [Kept(begun, row) for row in range(2)])
        ours = torch.stack([logits, *(decoder.step(cache, tokens[:, column]) for column in range(5, 8))], dim=1)
        whole = [row[None, start:] for row, start in zip(tokens, starts, strict=True)]
        theirs = torch.stack(
            [model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -4:] for ids in whole]
        )
    difference = (ours.float().softmax(-1) - theirs.float().softmax(-1)).abs().sum(-1).mean().item() / 2
    return difference < (1e-4 if model.dtype == torch.float32 else 0.05)
