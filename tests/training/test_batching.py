"""Micro-batches keep the budget, minibatches keep the expectation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.training.batching import microbatches, minibatches
from rekindle.types import TrainingSample


def sample(length: int, prompt: int) -> TrainingSample:
    return TrainingSample(
        token_ids=range(length),
        loss_mask=[True] * length,
        logprobs=[0.0] * length,
        advantages=[1.0] * length,
        temperature=1.0,
        weight=1.0,
        prompt_key=prompt,
    )


def shape(batches: list[list[TrainingSample]]) -> list[list[tuple[int, int]]]:
    return [[(len(row.token_ids), row.prompt_key) for row in rows] for rows in batches]


batches_of_samples = st.lists(st.builds(sample, st.integers(1, 30), st.integers(0, 6)), max_size=40)


def test_prompts_stay_together_longest_first():
    samples = [sample(3, 0), sample(9, 1), sample(5, 0), sample(4, 1), sample(2, 2), sample(2, 2)]
    # prompt 1: 2 rows x 9 = 18; adding prompt 0 would make 4 x 9 = 36. Prompts 0 and 2: 4 x 5 = 20.
    assert shape(microbatches(samples, 20)) == [[(9, 1), (4, 1)], [(5, 0), (3, 0), (2, 2), (2, 2)]]


def test_a_prompt_over_the_budget_is_split_and_a_long_row_goes_alone():
    samples = [sample(50, 0), sample(8, 1), sample(8, 1), sample(8, 1)]
    assert shape(microbatches(samples, 20)) == [[(50, 0)], [(8, 1), (8, 1)], [(8, 1)]]


def test_a_longer_row_is_counted_when_it_joins_the_rest_of_a_split_prompt():
    samples = [sample(10, 0), sample(10, 0), sample(1, 0), sample(9, 1)]
    assert shape(microbatches(samples, 20)) == [[(10, 0), (10, 0)], [(1, 0), (9, 1)]]
    assert shape(microbatches([*samples, sample(9, 1)], 20)) == [[(10, 0), (10, 0)], [(1, 0)], [(9, 1), (9, 1)]]


@settings(deadline=None)
@given(samples=batches_of_samples, budget=st.integers(1, 120))
def test_every_sample_once_within_the_budget_and_always_the_same(samples, budget):
    batches = microbatches(samples, budget)
    assert sorted(id(row) for rows in batches for row in rows) == sorted(id(row) for row in samples)
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(len(row.token_ids) for row in rows) <= budget
    assert microbatches(samples, budget) == batches


@settings(deadline=None)
@given(samples=batches_of_samples, budget=st.integers(1, 120))
def test_a_prompt_is_in_two_microbatches_only_when_it_is_over_the_budget(samples, budget):
    batches = microbatches(samples, budget)
    for prompt in {row.prompt_key for row in samples}:
        rows = [row for row in samples if row.prompt_key == prompt]
        if len(rows) * max(len(row.token_ids) for row in rows) <= budget:
            assert sum(any(row.prompt_key == prompt for row in batch) for batch in batches) == 1


def test_one_minibatch_is_the_batch_in_order():
    samples = [sample(3, key) for key in (2, 0, 2)]
    assert minibatches(samples, 1, (0,)) == [([0, 1, 2], 1.0)]
    assert minibatches(samples[:1], 4, (0,)) == [([0], 1.0)]


@settings(deadline=None)
@given(samples=batches_of_samples.filter(bool), count=st.integers(1, 6), seed=st.integers(0, 99))
def test_minibatches_share_out_whole_prompts(samples, count, seed):
    parts = minibatches(samples, count, (seed, 1))
    prompts = len({row.prompt_key for row in samples})
    assert len(parts) == min(count, prompts)
    assert sorted(index for members, _ in parts for index in members) == list(range(len(samples)))
    kept = [{samples[index].prompt_key for index in members} for members, _ in parts]
    assert sum(map(len, kept)) == prompts
    assert [factor for _, factor in parts] == pytest.approx([prompts / len(keys) for keys in kept])
    assert minibatches(samples, count, (seed, 1)) == parts


def test_the_mean_over_deals_of_a_minibatch_loss_is_the_batch_loss():
    samples = [sample(1, key) for key in (0, 0, 1, 2)]  # three prompts in two parts: 2 + 1
    losses = [1.0, 10.0, 100.0, 1000.0]
    first = []
    for seed in range(6000):
        members, factor = minibatches(samples, 2, (seed,))[0]
        first.append(factor * sum(losses[index] for index in members))
    assert sum(first) / len(first) == pytest.approx(sum(losses), rel=0.02)
