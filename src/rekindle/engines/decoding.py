"""The decoding loop of one generation, with continuous batching.

    waiting rows --admit--> slots --step, step, ...--> finished rows --release--> completions

A prompt is prefilled once, when the first of its rows enters, and its cache is copied to each of them. A finished row
frees its slot. While rows are waiting, freed slots are filled in place; afterwards the batch shrinks.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.batch import Batch
from rekindle.engines.decoders import Decoder
from rekindle.engines.prefill import Prefiller
from rekindle.engines.protocol import Completion
from rekindle.engines.rows import RowTable
from rekindle.engines.stopping import StopTexts
from rekindle.types import UserError

__all__ = ["Decoding"]

ADMISSION_SHARE = 8
"""Waiting rows enter when one slot in so many is free; a prefill for every freed slot would cost more than it gains."""
ALL_SLOTS = slice(None)


class Decoding:
    """The rows of one generation, waiting or in slots. Call it without gradients.

    Args:
        decoder: Runs the model, with its present weights.
        table: The rows to decode.
        eos_ids: Tokens that end a completion.
        decode: Turns tokens into text.
        max_rows: Most rows that decode at the same time.
    """

    def __init__(
        self,
        decoder: Decoder[Any],
        table: RowTable,
        eos_ids: frozenset[int],
        decode: Callable[[Sequence[int]], str],
        max_rows: int,
    ) -> None:
        self._table = table
        self._eos_ids = eos_ids
        self._decode = decode
        self._max_rows = max_rows
        self._next_row = 0
        ends = torch.tensor(sorted(eos_ids), dtype=torch.int64, device=table.device)
        self._batch = Batch(decoder, table.options, ends)
        self._prefiller = Prefiller(decoder, table)
        self._stops = StopTexts(decode)

    @property
    def done(self) -> bool:
        """True when every row has been given back."""
        return self._waiting == 0 and self._batch.live == 0

    @property
    def _waiting(self) -> int:
        return len(self._table) - self._next_row

    def advance(self) -> list[tuple[int, Completion]]:
        """Admit waiting rows, or else take one step; return the rows that finished, as (row number, completion)."""
        slots, logits = self._admit() if self._has_room() else (ALL_SLOTS, self._batch.step())
        finished, tokens = self._batch.sample(slots, logits)
        stopped = self._stopped(slots, tokens)
        if stopped:
            finished += [slot for slot, row in enumerate(self._batch.rows) if row in stopped and slot not in finished]
        if not finished:
            return []
        released = self._batch.release(finished)
        self._batch.tidy(keep_slots=self._waiting > 0)
        return [(row, self._completion(row, ids, logprobs, row in stopped)) for row, ids, logprobs in released]

    def _has_room(self) -> bool:
        slots, live = len(self._batch.rows), self._batch.live
        return self._waiting > 0 and (live == 0 or (slots - live) * ADMISSION_SHARE >= slots)

    def _admit(self) -> tuple[Tensor, Tensor]:
        """Fill free slots with waiting rows; return these slots [R] and the logits [R, V] after their prompts."""
        batch, table = self._batch, self._table
        slots = len(batch.free) if batch.live else min(self._max_rows, self._waiting)
        rows = range(self._next_row, self._next_row + min(slots, self._waiting))
        self._next_row = rows.stop
        longest = max(len(table.request(row).prompt_ids) for row in rows)
        if batch.live:
            batch.widen(longest)
        else:
            batch.open(slots, longest)
        slot_of = dict(zip(rows, batch.free, strict=False))
        entered: list[Tensor] = []
        logits: list[Tensor] = []
        for prompts in self._prefiller.prompts(rows):
            sources, members = prompts.members(table, rows)
            entered.append(torch.tensor([slot_of[row] for row in members], device=table.device))
            batch.put(entered[-1], prompts.cache, sources)
            logits.append(prompts.logits[sources])
        batch.seat(slot_of)
        for row in rows:
            self._stops.watch(row, table.request(row).stop)
        return torch.cat(entered), torch.cat(logits)

    def _stopped(self, slots: Tensor | slice, tokens: Tensor) -> set[int]:
        """Return the rows whose stop text is completed by the tokens [R] just sampled for some slots."""
        if not self._stops:
            return set()
        rows = self._batch.rows if isinstance(slots, slice) else [self._batch.rows[slot] for slot in slots.tolist()]
        return self._stops.completed(zip(rows, tokens.tolist(), strict=True))

    def _completion(self, row: int, ids: list[int], logprobs: list[float], stopped: bool) -> Completion:
        self._stops.forget(row)
        if math.isnan(sum(logprobs)):
            raise UserError(
                "the model's logits are not numbers: its weights have diverged; go back to an earlier checkpoint and "
                "lower the learning rate"
            )
        truncated = not stopped and ids[-1] not in self._eos_ids
        return Completion(ids, logprobs, truncated, self._decode(ids))
