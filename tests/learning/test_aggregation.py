"""Weights worked by hand, and what each aggregation promises about totals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.aggregation import (
    constant_length,
    group_token_mean,
    named_aggregation,
    sequence_mean,
    token_mean,
)

# Two groups, ragged: one of three rollouts (2 + 1 + 3 = 6 tokens), one of a single rollout (4 tokens).
LENGTHS, GROUPS = [2, 1, 3, 4], [7, 7, 7, 9]

TABLE = [
    (token_mean, [1 / 10] * 4),
    (group_token_mean, [1 / 12, 1 / 12, 1 / 12, 1 / 8]),
    (sequence_mean, [1 / 8, 1 / 4, 1 / 12, 1 / 16]),
    (constant_length(5), [1 / 20] * 4),
]

batches = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=12)


@pytest.mark.parametrize(("aggregation", "expected"), TABLE)
def test_hand_table(aggregation, expected):
    assert aggregation(LENGTHS, GROUPS) == pytest.approx(expected)


def test_batch_loss_worked_by_hand():
    losses = [[1.0, 3.0], [5.0], [0.0, 0.0, 3.0], [2.0, 2.0, 2.0, 4.0]]
    batch_loss = {
        "token_mean": 22 / 10,
        "group_token_mean": (12 / 6 + 10 / 4) / 2,
        "sequence_mean": (2 + 5 + 1 + 2.5) / 4,
        "constant_length": 22 / (4 * 5),
    }
    for name, expected in batch_loss.items():
        weights = named_aggregation(name, 5)(LENGTHS, GROUPS)
        assert sum(w * sum(row) for w, row in zip(weights, losses, strict=True)) == pytest.approx(expected), name


@pytest.mark.parametrize("aggregation", [token_mean, group_token_mean, sequence_mean])
def test_single_rollout_is_its_own_mean(aggregation):
    assert aggregation([4], [0]) == [0.25]


@pytest.mark.parametrize("aggregation", [token_mean, group_token_mean, sequence_mean, constant_length(9)])
@settings(deadline=None)
@given(batch=batches)
def test_no_tokens_no_weight(aggregation, batch):
    lengths, groups = zip(*batch, strict=True)
    weights = aggregation(lengths, groups)
    assert len(weights) == len(lengths)
    assert all((weight > 0) == (length > 0) for weight, length in zip(weights, lengths, strict=True))


@settings(deadline=None)
@given(batch=batches.filter(lambda batch: all(length for length, _ in batch)))
def test_means_of_a_constant_loss_are_that_constant(batch):
    lengths, groups = zip(*batch, strict=True)
    for aggregation in (token_mean, group_token_mean, sequence_mean):
        weights = aggregation(lengths, groups)
        assert sum(w * n for w, n in zip(weights, lengths, strict=True)) == pytest.approx(1.0)


@settings(deadline=None)
@given(batch=batches.filter(lambda batch: all(length for length, _ in batch)))
def test_group_token_mean_gives_every_group_the_same_say(batch):
    lengths, groups = zip(*batch, strict=True)
    say = dict.fromkeys(groups, 0.0)
    for weight, length, group in zip(group_token_mean(lengths, groups), lengths, groups, strict=True):
        say[group] += weight * length
    assert list(say.values()) == pytest.approx([1 / len(say)] * len(say))


def test_bad_names_and_lengths_are_refused():
    with pytest.raises(ValueError, match='no aggregation "mean"; choose one of token_mean'):
        named_aggregation("mean", 8)
    with pytest.raises(ValueError, match="max_len, which is 0"):
        constant_length(0)
