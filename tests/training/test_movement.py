"""The probe: how far an update moved the policy, against rescoring by hand."""

from dataclasses import replace

import pytest
import torch
from trainer_fakes import BigramPolicy, make_samples, settings

from rekindle.training.batching import minibatches
from rekindle.training.movement import Movement
from rekindle.training.trainer import Trainer


def moved(samples, probe_rows, **changes):
    policy = BigramPolicy()
    stats = Trainer(policy, settings(**changes), probe_rows=probe_rows).update(samples, 0)
    return policy, stats


def by_hand(policy, rows):
    """Mean |change| per token of these rows since the start."""
    with torch.no_grad():
        before, after = (each.token_logprobs(rows).logprobs for each in (BigramPolicy(), policy))
    return (after - before).abs().mean().item()


@pytest.mark.parametrize(
    ("rows", "count", "picked"),
    [(10, 4, [0, 2, 4, 6]), (12, 3, [0, 4, 8]), (3, 5, [0, 1, 2]), (4, 4, [0, 1, 2, 3]), (7, 0, []), (0, 4, [])],
)
def test_probed_rows_are_spread_evenly(rows, count, picked):
    samples = make_samples(prompts=1, rows=rows)
    assert [id(row) for row in Movement(samples, count).rows] == [id(samples[index]) for index in picked]


def test_only_the_first_time_a_row_is_seen_counts():
    rows = make_samples(prompts=1, rows=2)
    probe, tokens = Movement(rows, 2), [sum(row.loss_mask) for row in rows]
    probe.before(rows, torch.zeros(sum(tokens)))
    probe.before(rows, torch.ones(sum(tokens)))
    after = {id(rows[0]): torch.full((tokens[0],), 0.5), id(rows[1]): torch.full((tokens[1],), 1.5)}
    expected = (0.5 * tokens[0] + 1.5 * tokens[1]) / sum(tokens)
    assert probe.moved(after) == pytest.approx(expected)


@pytest.mark.parametrize(
    "changes", [{}, {"epochs": 3}, {"old_logprobs": "recompute", "epochs": 2}, {"microbatch_tokens": 9}]
)
def test_the_measure_is_the_mean_change_per_token_of_the_probed_rows(changes):
    samples = make_samples(prompts=6)
    policy, stats = moved(samples, 5, **changes)
    rows = samples[::3][:5]
    assert stats.moved == pytest.approx(by_hand(policy, rows), rel=1e-6)
    assert stats.moved > 1e-3


def test_with_several_minibatches_the_rows_of_the_first_are_measured_over_all_of_them():
    samples = make_samples(prompts=6)
    policy, stats = moved(samples, 100, minibatches=3, epochs=2)
    first = minibatches(samples, 3, (0, 0, 0))[0][0]
    assert stats.moved == pytest.approx(by_hand(policy, [samples[index] for index in first]), rel=1e-6)


@pytest.mark.parametrize("budget", [1, 9, 25, 10_000])
def test_the_measure_does_not_see_the_split(budget):
    samples = make_samples(prompts=6)
    assert moved(samples, 5, microbatch_tokens=budget)[1].moved == pytest.approx(moved(samples, 5)[1].moved, rel=1e-9)


def test_it_vanishes_with_the_learning_rate_and_in_proportion_to_it():
    samples = make_samples()
    at = [moved(samples, 4, learning_rate=rate, weight_decay=0.0)[1].moved for rate in (1e-15, 1e-6, 2e-6)]
    assert 0 <= at[0] < 1e-12
    assert at[2] == pytest.approx(2 * at[1], rel=1e-3)


def test_measuring_costs_one_forward_pass_of_the_probed_rows_and_changes_nothing():
    samples = make_samples(prompts=6)
    without, plain = moved(samples, 0, microbatch_tokens=1)
    probed, stats = moved(samples, 5, microbatch_tokens=1)
    assert (plain.moved, plain.recomputed_tokens) == (None, 0)
    assert stats.recomputed_tokens == sum(len(row.token_ids) for row in samples[::3][:5])
    assert [len(rows) for with_grad, rows in without.forwards if not with_grad] == []
    for name, weight in without.weights().items():
        assert torch.equal(weight, probed.weights()[name])


def test_a_batch_without_advantage_has_no_rows_to_measure():
    silent = [replace(sample, advantages=[0.0] * len(sample.advantages)) for sample in make_samples()]
    assert moved(silent, 5)[1].moved is None
