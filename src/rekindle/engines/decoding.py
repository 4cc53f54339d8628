"""The decoding loop of one generation, with continuous batching.

    waiting rows --admit--> slots --step, step, ...--> finished rows --release--> completions
         ^                                                  |
         +-------- reply <-- partner <-- conversations <----+

A prompt is prefilled once, when the first of its rows enters, and its cache is copied to each of them. A finished row
frees its slot. While rows are waiting, freed slots are filled in place; afterwards the batch shrinks. The cache of a
continuing conversation is taken out of the batch. With the partner's reply it returns as a new row, and only the reply
is computed. The schedule depends on the tokens alone, so conversations are reproducible.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.batch import FREE, Batch
from rekindle.engines.conversing import next_turn
from rekindle.engines.decoders import Decoder, Kept
from rekindle.engines.engine import Completion, Meter, Partner
from rekindle.engines.prefill import Prefiller
from rekindle.engines.rows import RowTable
from rekindle.engines.stopping import StopTexts
from rekindle.types import UserError

__all__ = ["Decoding"]

ADMISSION_SHARE = 8
"""Waiting rows enter when one slot in this many is free; a prefill for every freed slot would cost more."""
ALL_SLOTS = slice(None)


@dataclass(frozen=True, slots=True)
class _Paused:
    """Conversation between two turns: the row of its last turn, the completion, and the cache after it."""

    row: int
    generated: Completion
    kept: Kept[Any]


class Decoding:
    """The rows of one generation, waiting or in slots. Call it without gradients.

    Args:
        decoder: Runs the model with its current weights.
        table: The rows to decode.
        eos_ids: Tokens that end a completion.
        decode: Turns tokens into text.
        max_rows: Most rows decoded at the same time.
        partner: Responds to finished rows; None: every row is a single completion.
        meter: Counts sampled tokens, and completions and conversations that have ended.
    """

    def __init__(
        self,
        decoder: Decoder[Any],
        table: RowTable,
        eos_ids: frozenset[int],
        decode: Callable[[Sequence[int]], str],
        max_rows: int,
        partner: Partner | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._table = table
        self._eos_ids = eos_ids
        self._decode = decode
        self._max_rows = max_rows
        self._fresh = range(len(table))
        self._partner = partner
        self._meter = meter or Meter()
        self._paused: list[_Paused] = []
        self._names: dict[int, tuple[int, int]] = {}  # names of the rows of further turns
        ends = torch.tensor(sorted(eos_ids), dtype=torch.int64, device=table.device)
        self._batch = Batch(decoder, table, ends)
        self._prefiller = Prefiller(decoder, table)
        self._stops = StopTexts(decode)

    @property
    def done(self) -> bool:
        """True when all rows have been returned."""
        return self._waiting == 0 and self._batch.live == 0

    def name(self, row: int) -> tuple[int, int]:
        """Index of a row's first request, and of its sample within that request."""
        request = self._table.owners[row]
        return self._names.get(row) or (request, row - self._table.rows_of(request).start)

    @property
    def _waiting(self) -> int:
        return len(self._fresh) + len(self._paused)

    def advance(self) -> list[tuple[int, Completion]]:
        """Admit waiting rows, or else take one step; return the finished rows as (row number, completion)."""
        slots, logits = self._admit() if self._has_room() else (ALL_SLOTS, self._batch.step())
        finished, tokens = self._batch.sample(slots, logits)
        self._meter.tokens += self._batch.live if isinstance(slots, slice) else len(slots)
        stopped = self._stopped(slots, tokens)
        if stopped:
            finished += [slot for slot, row in enumerate(self._batch.rows) if row in stopped and slot not in finished]
        if not finished:
            return []
        released = self._batch.release(finished)
        ended = [(row, self._completion(row, ids, logprobs, row in stopped)) for row, ids, logprobs in released]
        if self._partner is not None:
            self._report(finished, ended)
        else:
            self._meter.rollouts += len(ended)
        self._batch.tidy(waiting=self._waiting)
        return ended

    def interrupt(self) -> list[tuple[int, Completion]]:
        """End all rows as they are, the waiting ones without tokens; return them as (row number, completion).

        For single completions: a conversation cannot be interrupted.
        """
        assert self._partner is None, "a conversation cannot be interrupted"
        slots = [slot for slot, row in enumerate(self._batch.rows) if row != FREE]
        released = self._batch.release(slots) if slots else []
        ended = [(row, self._completion(row, ids, logprobs, False)) for row, ids, logprobs in released]
        waiting, self._fresh = self._fresh, range(0)
        self._meter.rollouts += len(ended) + len(waiting)
        return ended + [(row, Completion([], [], True, "")) for row in waiting]

    def _report(self, slots: list[int], ended: list[tuple[int, Completion]]) -> None:
        """Report finished turns to the partner, and keep the caches of continuing conversations."""
        assert self._partner is not None
        continues = [self._partner.on_turn(*self.name(row), completion) for row, completion in ended]
        kept = list(compress(slots, continues))
        self._meter.rollouts += len(ended) - len(kept)
        if kept:
            cache = self._batch.take(kept)
            for index, (row, completion) in enumerate(compress(ended, continues)):
                self._paused.append(_Paused(row, completion, Kept(cache, index)))

    def _has_room(self) -> bool:
        slots, live = len(self._batch.rows), self._batch.live
        return self._waiting > 0 and (live == 0 or (slots - live) * ADMISSION_SHARE >= slots)

    def _admit(self) -> tuple[Tensor, Tensor]:
        """Fill free slots with waiting rows; return these slots [R] and the logits [R, V] after their prompts.

        Continuing conversations come first, because finishing one frees its kept cache.
        """
        slots = len(self._batch.free) if self._batch.live else min(self._max_rows, self._waiting)
        paused, self._paused = self._paused[:slots], self._paused[slots:]
        room = slots - len(paused)
        fresh, self._fresh = self._fresh[:room], self._fresh[room:]
        resumed = self._next_turns(paused) if paused else range(0)
        slot_of = self._seats(slots, [*resumed, *fresh])
        entered: list[Tensor] = []
        logits: list[Tensor] = []
        continued = self._prefiller.continued(resumed, [one.kept for one in paused])
        for prompts, rows in (*zip(continued, repeat(resumed)), *zip(self._prefiller.prompts(fresh), repeat(fresh))):
            sources, members = prompts.members(self._table, rows)
            entered.append(torch.tensor([slot_of[row] for row in members], device=self._table.device))
            self._batch.put(entered[-1], prompts.cache, sources)
            logits.append(prompts.logits[sources])
        self._batch.seat(slot_of)
        for row in slot_of:
            self._stops.watch(row, self._table.request(row).stop)
        return torch.cat(entered), torch.cat(logits)

    def _next_turns(self, paused: Sequence[_Paused]) -> range:
        """Append rows for the next turns of conversations."""
        assert self._partner is not None
        names = [self.name(one.row) for one in paused]
        turns = [
            next_turn(self._table.request(one.row), one.generated, name[1], reply)
            for one, name, reply in zip(paused, names, self._partner.respond(names), strict=True)
        ]
        rows = self._table.append(turns)
        self._names |= dict(zip(rows, names, strict=True))
        return rows

    def _seats(self, slots: int, rows: Sequence[int]) -> dict[int, int]:
        """Make room for the rows' prompts; return a free slot for each."""
        longest = max(len(self._table.request(row).prompt_ids) for row in rows)
        if self._batch.live:
            self._batch.widen(longest)
        else:
            self._batch.open(slots, longest)
        return dict(zip(rows, self._batch.free, strict=False))

    def _stopped(self, slots: Tensor | slice, tokens: Tensor) -> set[int]:
        """Return the rows whose stop text was completed by the tokens [R] just sampled for some slots."""
        if not self._stops:
            return set()
        rows = self._batch.rows if isinstance(slots, slice) else [self._batch.rows[slot] for slot in slots.tolist()]
        return self._stops.completed(zip(rows, tokens.tolist(), strict=True))

    def _completion(self, row: int, ids: list[int], logprobs: list[float], stopped: bool) -> Completion:
        self._stops.forget(row)
        if math.isnan(sum(logprobs)):
            raise UserError(
                "the model's logits are not numbers: its weights have diverged; return to an earlier checkpoint and "
                "lower the learning rate"
            )
        truncated = not stopped and ids[-1] not in self._eos_ids
        return Completion(ids, logprobs, truncated, self._decode(ids))
