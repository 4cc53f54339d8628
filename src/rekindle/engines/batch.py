"""The rows that decode at present: slots with their cache, their options and what has been sampled for them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.decoders import Cache, Decoder
from rekindle.engines.rows import Board, RowTable
from rekindle.engines.sampling import sample

__all__ = ["FREE", "Batch"]

COMPACTION_SHARE = 16
"""Rows are moved together when one slot in so many is free."""
SPARE_COLUMNS = 64
"""Unneeded columns are kept up to this number, or as many as are needed."""
FREE = -1


class Batch:
    """B slots, each free or with one row. Free slots are computed like the others and ignored.

    Board and cache have the same columns. The newest token of a row is on the board only, in the column after the
    cache's newest: the next step feeds it to the model.

    Attributes:
        rows: [B] number of the row in each slot, or FREE.

    Args:
        decoder: Runs the model, with its present weights.
        table: Every row of the generation.
        eos_ids: [E] int64 tokens that end a row.
    """

    def __init__(self, decoder: Decoder[Any], table: RowTable, eos_ids: Tensor) -> None:
        self._decoder = decoder
        self._table = table
        self._eos_ids = eos_ids
        self.open(0, 0)

    def open(self, slots: int, columns: int) -> None:
        """Begin anew with free slots, wide enough for prompts of ``columns`` tokens."""
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
        """Make the cache at least so wide that prompts of ``columns`` tokens fit."""
        if self._cache.columns < columns:
            self._shift(columns)

    def put(self, slots: Tensor, prompts: Cache, sources: Tensor) -> None:
        """Copy the prompts ``sources`` [R] of a cache into slots [R]."""
        self._cache.put(slots, prompts, sources)

    def step(self) -> Tensor:
        """Feed every row's newest token to the model; return the logits [B, V] after it."""
        return self._decoder.step(self._cache, self._board.tokens[:, self._cache.columns])

    def sample(self, slots: Tensor | slice, logits: Tensor) -> tuple[list[int], Tensor]:
        """Draw the next token of some slots from their logits [R, V].

        Returns:
            The slots whose rows have finished, by an end token or at their limit; and the tokens [R].
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
        """Copy the cache of some slots, which may just have been released."""
        return self._cache.take(torch.tensor(slots, device=self._eos_ids.device))

    def tidy(self, *, waiting: int) -> None:
        """Drop slots that neither a row nor one of the ``waiting`` needs, and columns that none needs, if it pays."""
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
        """Keep the first ``count`` slots, with the rows of the others moved into free ones."""
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
