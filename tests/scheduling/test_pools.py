from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import history_of, record

from rekindle.scheduling.pools import CyclingPool, RecyclingPool
from rekindle.testing import check_pool
from rekindle.types import Fate, Outcome


def train(pool, rows):
    pool.update([record(int(row)) for row in rows])


@pytest.mark.parametrize(
    "make",
    [
        CyclingPool,
        RecyclingPool,
        partial(RecyclingPool, alpha=0.1),
        partial(RecyclingPool, reset_below=0.5),
        partial(RecyclingPool, on_empty="stop"),
    ],
)
def test_every_pool_conforms(make):
    check_pool(make)


def test_draws_are_those_of_the_first_release():
    """Golden: a change of these rows changes every run."""
    cycling, recycling = CyclingPool(history_of(9)), RecyclingPool(history_of(9), alpha=0.1)
    drawn = [cycling.draw(4, np.random.default_rng(seed)).tolist() for seed in range(4)]
    assert drawn == [[5, 2, 0, 7], [4, 8, 1, 3], [6, 4, 5, 1], [0, 2, 8, 3]]
    drawn = []
    for seed in range(4):
        drawn.append(recycling.draw(4, np.random.default_rng(seed)).tolist())
        train(recycling, drawn[-1][:2])
    assert drawn == [[5, 2, 0, 7], [4, 8, 1, 3], [1, 7, 0, 6], [0, 6, 3, 1]]


def test_these_pools_leave_group_sizes_and_the_end_of_the_run_to_others():
    for pool in (CyclingPool(history_of(2)), RecyclingPool(history_of(2))):
        assert (pool.group_size, pool.finished, pool.metrics()) == (None, None, {})


def test_cycling_sees_every_prompt_once_per_epoch():
    pool = CyclingPool(history_of(10))
    rng = np.random.default_rng(0)
    first = [row for _ in range(5) for row in pool.draw(2, rng).tolist()]
    assert sorted(first) == list(range(10))
    assert (pool.live, pool.resets) == (0, 0)
    pool.draw(2, rng)
    assert (pool.live, pool.resets) == (8, 1)


def test_cycling_across_the_end_of_an_epoch_stays_distinct_and_takes_what_is_left():
    pool = CyclingPool(history_of(10))
    rng = np.random.default_rng(0)
    first = pool.draw(7, rng).tolist()
    second = pool.draw(6, rng).tolist()
    assert set(range(10)) - set(first) <= set(second)
    assert len(set(second)) == 6
    assert pool.resets == 1


def test_cycling_pool_smaller_than_a_step_gives_all_it_has():
    assert sorted(CyclingPool(history_of(3)).draw(8, np.random.default_rng(0)).tolist()) == [0, 1, 2]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), trained=st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_hard_recycling_never_brings_a_consumed_prompt_back_while_the_pool_is_not_empty(seed, trained):
    pool = RecyclingPool(history_of(30))
    rng, consumed = np.random.default_rng(seed), set()
    for count in trained:
        rows = pool.draw(6, rng).tolist()
        if pool.resets:
            assert len(consumed) == 30
            break
        assert not consumed & set(rows)
        train(pool, rows[:count])
        consumed |= set(rows[:count])
        assert pool.live == 30 - len(consumed)


@given(alpha=st.sampled_from([0.0, 0.1, 0.5]), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_only_trained_prompts_weights_change_and_soft_recycling_leaves_alpha(alpha, seed):
    table = history_of(50)
    pool = RecyclingPool(table, alpha=alpha)
    rows = pool.draw(20, np.random.default_rng(seed)).tolist()
    fates = [Fate.TRAINED] * 8 + [Fate.EXCESS, Fate.RECYCLED, Fate.EXPIRED, Fate.FAILED] * 3
    pool.update([record(row, fate) for row, fate in zip(rows, fates, strict=True)])
    expected = np.ones(50, np.float32)
    expected[rows[:8]] = alpha
    assert np.array_equal(table.weight, expected)


def test_empty_recycling_pool_resets_or_stops():
    cases: list[Any] = [("reset", 4, 1), ("stop", 0, 0)]
    for on_empty, drawn, resets in cases:
        pool = RecyclingPool(history_of(4), on_empty=on_empty)
        train(pool, pool.draw(4, np.random.default_rng(0)))
        assert pool.live == 0
        assert len(pool.draw(4, np.random.default_rng(0))) == drawn
        assert pool.resets == resets


def test_reset_at_a_live_fraction():
    pool = RecyclingPool(history_of(8), reset_below=0.5)
    train(pool, [0, 1, 2, 3])
    pool.draw(1, np.random.default_rng(0))
    assert pool.resets == 0
    train(pool, [4])
    pool.draw(1, np.random.default_rng(0))
    assert (pool.resets, pool.live) == (1, 8)


@pytest.mark.parametrize(("name", "value"), [("alpha", 1.0), ("alpha", -0.1), ("reset_below", 1.5)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} = {value} is outside"):
        RecyclingPool(history_of(4), **{name: value})


def test_recycling_keeps_unanimous_groups_that_a_gate_let_into_the_update():
    """ERPO's gate accepts all-correct groups; only a group whose rewards differ consumes its prompt."""
    pool = RecyclingPool(history_of(3))
    pool.update([record(0), record(1, outcome=Outcome.ALL_CORRECT), record(2, fate=Fate.EXCESS)])
    assert pool.history.weight.tolist() == [0.0, 1.0, 1.0]
