"""How prompts are gathered into forward passes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rekindle.engines import prefill
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.prefill import Prefiller
from rekindle.engines.rows import RowTable


class NotingDecoder:
    """Records the prompts to prefill; its logits are the prompts' last tokens."""

    def __init__(self):
        self.passes = []

    def prefill(self, tokens, starts, columns, kept=()):
        self.passes.append([row[start:].tolist() for row, start in zip(tokens, starts, strict=True)])
        return tokens[:, -1:].float(), "cache"


def run(lengths, counts, take):
    """Prefill ranges of ``take`` rows; return the passes and the last token of the prompt that each row was given."""
    requests = [SamplingRequest([length] * length, n=n) for length, n in zip(lengths, counts, strict=True)]
    table = RowTable(requests, 100_000, torch.device("cpu"))
    decoder: Any = NotingDecoder()
    prefiller = Prefiller(decoder, table)
    given_ = {}
    for start in range(0, len(table), take):
        rows = range(start, min(start + take, len(table)))
        for part in prefiller.prompts(rows):
            sources, members = part.members(table, rows)
            given_.update(zip(members, part.logits[sources][:, 0].tolist(), strict=True))
    assert sorted(given_) == list(range(len(table)))
    return decoder.passes, [given_[row] for row in range(len(table))]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 5)), min_size=1, max_size=12),
    st.integers(1, 20),
)
def test_every_row_gets_its_own_prompt_and_every_prompt_is_run_once(requests, take):
    lengths, counts = zip(*requests, strict=True)
    passes, last_tokens = run(lengths, counts, take)
    assert last_tokens == [length for length, n in requests for _ in range(n)]
    assert sorted(len(prompt) for batch in passes for prompt in batch) == sorted(lengths)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3, 9, 4], [[3, 4, 9]]),  # small: one pass with padding
        ([900, 10, 1000], [[10], [900, 1000]]),  # larger: the short one would be 99 % padding
        ([4000, 4000, 4000], [[4000, 4000], [4000]]),  # no more than BATCH_TOKENS
        ([9000, 5], [[5], [9000]]),
    ],
)
def test_passes_are_of_similar_length_and_bounded(lengths, expected):
    passes, _ = run(lengths, [1] * len(lengths), 100)
    assert [[len(prompt) for prompt in batch] for batch in passes] == expected
    assert prefill.BATCH_TOKENS == 8192
