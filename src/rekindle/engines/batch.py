"""The rows that decode at present: slots with their cache, their options and what has been sampled for them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.decoders import Cache, Decoder
from rekindle.engines.rows import Board, RowOptions
from rekindle.engines.sampling import sample

__all__ = ["FREE", "Batch"]

PAYING_SHARE = 0.8
"""The batch is moved together when at most this share of its cells (slots times columns) is still needed."""
FREE = -1


class Batch:
    """B slots, each free or with one row. Free slots are computed like the others and ignored.

    Board and cache have the same columns. The newest token of a row is on the board only, in the column after the cache's
    newest: the next step feeds it to the model.

    Attributes:
        rows: [B] number of the row in each slot, or FREE.

    Args:
        decoder: Runs the model, with its present weights.
        options: Of every row of the generation.
        eos_ids: [E] int64 tokens that end a row.
    """

    def __init__(self, decoder: Decoder[Any], options: RowOptions, eos_ids: Tensor) -> None:
        self._decoder = decoder
        self._all_options = options
        self._eos_ids = eos_ids
        self.open(0)

    def open(self, slots: int) -> None:
        """Begin anew with free slots."""
        self._cache: Cache | None = None
        self._columns = 0
        self._board = Board.empty(slots, self._eos_ids.device)
        self._look_up([FREE] * slots)

    def seat(self, slots: Mapping[int, int]) -> None:
        """Put rows into slots, given as {row: slot}."""
        for row, slot in slots.items():
            self.rows[slot] = row
        self._look_up(self.rows)

    def _look_up(self, rows: list[int]) -> None:
        self.rows = rows
        numbers = torch.tensor(rows, dtype=torch.int64, device=self._eos_ids.device)
        self._taken = numbers != FREE
        self._options = self._all_options.select(numbers.clamp(min=0))

    @property
    def live(self) -> int:
        """Number of slots with a row."""
        return len(self.rows) - self.rows.count(FREE)

    @property
    def free(self) -> list[int]:
        """Slots without a row."""
        return [slot for slot, row in enumerate(self.rows) if row == FREE]

    def widen(self, columns: int) -> None:
        """Make the cache at least so wide that prompts of ``columns`` tokens fit."""
        if self._cache is None:
            self._columns = columns
        elif self._columns < columns:
            self._take(list(range(len(self.rows))), columns)

    def put(self, slots: Tensor, prompts: Cache, sources: Tensor) -> None:
        """Copy prompts [R] of a cache into slots [R]."""
        if self._cache is None:
            self._cache = prompts.take(
                torch.zeros(len(self.rows), dtype=torch.int64, device=slots.device), self._columns
            )
        self._cache.put(slots, prompts, sources)

    def step(self) -> Tensor:
        """Feed every row's newest token to the model; return the logits [B, V] after it."""
        logits = self._decoder.step(self._cache, self._board.tokens[:, self._columns])
        self._columns += 1
        return logits

    def sample(self, slots: Tensor | slice, logits: Tensor) -> tuple[list[int], Tensor]:
        """Draw the next token of some slots from their logits [R, V].

        Returns:
            The slots whose rows have finished, by an end token or at their limit; and the tokens [R].
        """
        assert self._cache is not None
        options = self._options if isinstance(slots, slice) else self._options.select(slots)
        lengths = self._columns - self._cache.starts[slots]
        tokens, logprobs = sample(logits, options.settings, lengths - options.prompt_lengths, self._eos_ids)
        self._board.record(slots, self._columns, tokens, logprobs)
        ended = (tokens[:, None] == self._eos_ids).any(dim=1)
        finished = (ended | (lengths + 1 >= options.limits)) & self._taken[slots]
        which = finished.nonzero().flatten()
        return (which if isinstance(slots, slice) else slots[which]).tolist(), tokens

    def release(self, slots: list[int]) -> list[tuple[int, list[int], list[float]]]:
        """Free slots; return (row, tokens [C], log-probabilities [C]) of each completion."""
        assert self._cache is not None
        index = torch.tensor(slots, device=self._eos_ids.device)
        firsts = (self._cache.starts[index] + self._options.prompt_lengths[index]).tolist()
        left = min(firsts)
        tokens, logprobs = self._board.read(index, slice(left, self._columns + 1))
        completions = []
        for place, (slot, first) in enumerate(zip(slots, firsts, strict=True)):
            completions.append((self.rows[slot], tokens[place][first - left :], logprobs[place][first - left :]))
            self.rows[slot] = FREE
        self._taken[index] = False
        return completions

    def move_together(self, *, keep_slots: bool) -> None:
        """Drop columns that no row needs, and free slots unless they are to be filled again, when it pays."""
        if self.live == 0:
            return
        assert self._cache is not None
        taken = self._columns - int(self._cache.starts[self._taken].min())
        slots = [slot for slot, row in enumerate(self.rows) if keep_slots or row != FREE]
        if len(slots) * taken <= PAYING_SHARE * len(self.rows) * self._columns:
            self._take(slots, taken)

    def _take(self, slots: list[int], columns: int) -> None:
        """Keep some slots, and move the columns so that the cache's newest is the last of ``columns``."""
        assert self._cache is not None
        index = torch.tensor(slots, device=self._eos_ids.device)
        self._board = self._board.take(index, columns - self._columns)
        self._cache = self._cache.take(index, columns)
        self._columns = columns
        self._look_up([self.rows[slot] for slot in slots])
