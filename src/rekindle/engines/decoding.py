"""The decoding loop of one generation, with continuous batching.

    waiting rows --admit--> slots --step, step, ...--> finished rows --collect--> completions of whole requests

Prompts are prefilled when the first of their rows enters, once per request, and their cache is copied to every row.
A finished row frees its slot. While rows are waiting, freed slots are filled in place; afterwards the batch shrinks.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from rekindle.engines.decoders import Decoder
from rekindle.engines.protocol import Completion
from rekindle.engines.rows import Board, RowTable
from rekindle.engines.sampling import sample
from rekindle.engines.stopping import StopChecker
from rekindle.models.policy import Policy

__all__ = ["Decoding"]

ADMISSION_SHARE = 8
"""Waiting rows enter when one slot in so many is free: a prefill for each freed slot would cost more than it gains."""
PREFILL_TOKENS = 8192
"""Most padded prompt tokens of one forward pass, unless a single prompt is longer."""
PAYING_SHARE = 0.8
"""Rows are moved together when that leaves at most this share of the batch's cells (slots times columns)."""


class Decoding:
    """State of one generation: rows waiting, rows in slots, completions of unfinished requests.

    Call it in inference mode. `advance` does one unit of work and returns the requests that it completed.

    Args:
        policy: Gives the tokenizer, the end tokens and the context length.
        decoder: Runs the policy's model, with its present weights.
        table: The rows to decode.
        max_rows: Most rows that decode at the same time.
    """

    def __init__(self, policy: Policy, decoder: Decoder[Any], table: RowTable, max_rows: int) -> None:
        self._decoder = decoder
        self._table = table
        self._next_row = 0
        self._eos_ids = torch.tensor(sorted(policy.eos_ids), dtype=torch.int64, device=policy.device)
        self._device = policy.device
        self._decode = policy.decode
        self._is_eos = frozenset(policy.eos_ids)
        slots = min(max_rows, len(table))
        self._rows = torch.zeros(slots, dtype=torch.int64, device=self._device)
        ...
