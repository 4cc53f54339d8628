"""The decoding batch: slots with their rows, key-value cache, options and sampled tokens."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.decoders import Cache, Decoder
from rekindle.engines.rows import Board, RowTable
from rekindle.engines.sampling import sample

__all__ = ["FREE", "Batch"]

COMPACTION_SHARE = 16
"""Rows are moved together when one slot in this many is free."""
SPARE_COLUMNS = 64
"""Unneeded columns are kept up to this number, or up to the number of needed columns."""
FREE = -1


class Batch:
    """B slots, each with one row or free. Free slots are computed like the others, and their results ignored.

    Board and cache have the same columns. The newest token of a row is only on the board, in the column after the
    cache's newest one; the next step feeds it to the model.

    Attributes:
        rows: [B] row number in each slot, or FREE.

    Args:
        decoder: Runs the model with its current weights.
        table: All rows of the generation.
        eos_ids: [E] int64 tokens that end a row.
    """

    def __init__(self, decoder: Decoder[Any], table: RowTable, eos_ids: Tensor) -> None:
        self._decoder = decoder
        self._table = table
        self._eos_ids = eos_ids
        self.open(0, 0)

    def open(self, slots: int, columns: int) -> None:
        """Start with free slots only, wide enough for prompts of ``columns`` tokens."""
        self._cache = self._decoder.empty(slots, columns)
        self._board = Board.empty(slots, self._eos_ids.device)
        self._look_up([FREE] * slots)

    def _look_up(self, rows: list[int]) -> None:
        self.rows = rows
        numbers = torch.tensor(rows, dtype=torch.int64, device=self._eos_ids.device)
        self._taken = numbers != FREE
        self._options = self._table.options.select(numbers.clamp(min=0))

    @property
    def live(self) -> int:
        """Number of slots with a row."""
        return len(self.rows) - self.rows.count(FREE)

    @property
    def free(self) -> list[int]:
        """Slots without a row."""
        return [slot for slot, row in enumerate(self.rows) if row == FREE]

    def seat(self, slots: Mapping[int, int]) -> None:
        """Put rows into slots, given as {row: slot}."""
        for row, slot in slots.items():
            self.rows[slot] = row
        self._look_up(self.rows)

    def widen(self, columns: int) -> None:
        """Widen the cache where needed to fit prompts of ``columns`` tokens."""
        if self._cache.columns < columns:
            self._shift(columns)

    def put(self, slots: Tensor, prompts: Cache, sources: Tensor) -> None:
        """Copy rows ``sources`` [R] of a cache of prompts into slots [R]."""
        self._cache.put(slots, prompts, sources)

    def step(self) -> Tensor:
        """Feed every row's newest token to the model; return the logits [B, V] after it."""
        return self._decoder.step(self._cache, self._board.tokens[:, self._cache.columns])

    def sample(self, slots: Tensor | slice, logits: Tensor) -> tuple[list[int], Tensor]:
        """Draw the next token of some slots from their logits [R, V].

        Returns:
            The slots whose rows finished, by an end token or at their limit; and the tokens [R].
        """
        options = self._options if isinstance(slots, slice) else self._options.select(slots)
        lengths = self._cache.columns - self._cache.starts[slots]
        tokens, logprobs = sample(logits, options.settings, lengths - options.prompt_lengths, self._eos_ids)
        self._board.record(slots, self._cache.columns, tokens, logprobs)
        ended = (tokens[:, None] == self._eos_ids).any(dim=1)
        finished = (ended | (lengths + 1 >= options.limits)) & self._taken[slots]
        which = finished.nonzero().flatten()
        return (which if isinstance(slots, slice) else slots[which]).tolist(), tokens

    def release(self, slots: list[int]) -> list[tuple[int, list[int], list[float]]]:
        """Free slots; return (row, tokens [C], log-probabilities [C]) of each completion."""
        index = torch.tensor(slots, device=self._eos_ids.device)
        firsts = (self._cache.starts[index] + self._options.prompt_lengths[index]).tolist()
        left = min(firsts)
        tokens, logprobs = self._board.read(index, slice(left, self._cache.columns + 1))
        completions = []
        for place, (slot, first) in enumerate(zip(slots, firsts, strict=True)):
            completions.append((self.rows[slot], tokens[place][first - left :], logprobs[place][first - left :]))
            self.rows[slot] = FREE
        self._taken[index] = False
        return completions

    def take(self, slots: list[int]) -> Any:
        """Copy the cache of some slots; they may just have been released."""
        return self._cache.take(torch.tensor(slots, device=self._eos_ids.device))

    def tidy(self, *, waiting: int) -> None:
        """Drop slots that no active or waiting row needs, and columns that no row needs, where that saves time."""
        live, slots = self.live, len(self.rows)
        if live == 0:
            return
        kept = min(slots, live + waiting)
        if (slots - kept) * COMPACTION_SHARE >= slots:
            self._compact(kept)
        needed = self._cache.columns - int(self._cache.starts[self._taken].min())
        if self._cache.columns - needed > max(SPARE_COLUMNS, needed):
            self._shift(needed)

    def _compact(self, count: int) -> None:
        """Keep the first ``count`` slots; rows of the other slots move into free ones."""
        moved = [slot for slot in range(count, len(self.rows)) if self.rows[slot] != FREE]
        to = [slot for slot in self.free if slot < count][: len(moved)]
        for gap, slot in zip(to, moved, strict=True):
            self.rows[gap] = self.rows[slot]
        device = self._eos_ids.device
        pair = torch.tensor(to, dtype=torch.int64, device=device), torch.tensor(moved, dtype=torch.int64, device=device)
        self._cache.compact(*pair, count)
        self._board.compact(*pair, count)
        self._look_up(self.rows[:count])

    def _shift(self, columns: int) -> None:
        self._board.shift(columns - self._cache.columns)
        self._cache.shift(columns)
