"""Division of an update's rows over optimizer steps, micro-batches and processes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.integrations.trl.updates.division import Division, divide
from rekindle.types import TrainingSample, UserError


def sample(tokens, key=0, side=0):
    mask = [False] * (tokens - 1) + [True]
    return TrainingSample(
        token_ids=[1] * tokens,
        loss_mask=mask,
        logprobs=[0.0] * tokens,
        advantages=[float(one) for one in mask],
        temperature=1.0,
        weight=1.0,
        prompt_key=key,
        side=side,
    )


def divided(samples, processes, micro_batches, accumulation, left_out=None, seed=(0,)):
    division = Division(processes=processes, micro_batches=micro_batches, accumulation=accumulation)
    return division, divide(samples, division, seed, left_out or [False] * len(samples))


def lengths(samples, steps):
    return [[[[len(samples[row].token_ids) for row in part.computed] for part in m] for m in s.parts] for s in steps]


def test_the_longest_rows_go_first_each_to_the_part_with_fewest_tokens():
    samples = [sample(tokens) for tokens in (3, 9, 4, 8, 2, 7)]
    _, steps = divided(samples, processes=2, micro_batches=1, accumulation=1)
    assert lengths(samples, steps) == [[[[8, 7, 2], [9, 4, 3]]]]


def test_equal_rows_fill_micro_batches_as_in_trl():
    samples = [sample(5, key=row // 4) for row in range(24)]
    _, steps = divided(samples, processes=2, micro_batches=3, accumulation=3)
    assert [[len(part.rows) for part in parts] for parts in steps[0].parts] == [[4, 4]] * 3


def test_processes_have_alike_sums_of_tokens():
    samples = [sample(tokens) for tokens in (16, 15, 14, 13, 12, 11, 10, 9)]
    _, steps = divided(samples, processes=2, micro_batches=4, accumulation=4)
    assert lengths(samples, steps) == [[[[16], [15]], [[13], [14]], [[12], [11]], [[9], [10]]]]


def test_rows_left_out_fill_the_parts_up():
    samples = [sample(tokens) for tokens in (9, 2, 2, 2, 5, 5)]
    _, steps = divided(samples, 1, 2, 2, left_out=[False, False, False, False, True, True])
    assert [(part.computed, part.left_out) for parts in steps[0].parts for part in parts] == [
        ([0], [4, 5]),
        ([1, 2, 3], []),
    ]


def test_groups_with_sides_stay_whole():
    samples = [sample(3, key=key, side=1 if row else -1) for key, size in enumerate((5, 3, 4)) for row in range(size)]
    for seed in range(6):
        _, steps = divided(samples, 1, 2, 1, seed=(seed,))
        keys = [{samples[row].prompt_key for row in step.rows} for step in steps]
        assert not keys[0] & keys[1]


def test_optimizer_steps_get_other_groups_with_other_seeds():
    samples = [sample(3, key=key) for key in range(12)]
    first = {tuple(divided(samples, 1, 2, 1, seed=(seed, 5))[1][0].rows) for seed in range(5)}
    assert len(first) > 1
    assert all(len(rows) == 6 for rows in first)


def test_optimizer_steps_across_generations_are_refused():
    with pytest.raises(UserError, match="steps_per_generation = 3 and gradient_accumulation_steps = 2"):
        Division(processes=1, micro_batches=3, accumulation=2)
    assert Division(processes=1, micro_batches=2, accumulation=6).steps == 1


ROWS = st.lists(st.tuples(st.integers(2, 40), st.integers(0, 5), st.booleans()), min_size=1, max_size=40)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))


@given(rows=ROWS, shape=SHAPES, seed=st.integers(0, 99), sided=st.booleans())
def test_no_row_is_lost_or_repeated_and_the_number_of_rows_is_bounded(rows, shape, seed, sided):
    processes, accumulation, windows = shape
    samples = [sample(tokens, key, side=int(sided)) for tokens, key, _ in rows]
    out = [left for *_, left in rows]
    division, steps = divided(samples, processes, accumulation * windows, accumulation, out, (seed,))
    assert len(steps) == division.steps == windows
    for step in steps:
        assert len(step.parts) == accumulation
        assert all(len(parts) == processes for parts in step.parts)
        dealt = [part for parts in step.parts for part in parts]
        assert sorted(row for part in dealt for row in part.rows) == step.rows
        most = math.ceil(len(step.rows) / len(dealt))
        assert all(len(part.rows) <= most for part in dealt)
        assert not any(out[row] for part in dealt for row in part.computed)
        assert all(out[row] for part in dealt for row in part.left_out)
    assert sorted(row for step in steps for row in step.rows) == list(range(len(rows)))
    if not sided:
        assert max(len(step.rows) for step in steps) <= math.ceil(len(rows) / windows)
    again = divided(samples, processes, accumulation * windows, accumulation, out, (seed,))
    assert again == (division, steps)
