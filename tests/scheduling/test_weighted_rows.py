from itertools import permutations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.scheduling.weighted_rows import WeightedRows


def rows_of(weights):
    return WeightedRows(np.asarray(weights, np.float32))


@pytest.mark.slow
def test_ordered_draws_have_the_probabilities_of_drawing_one_after_the_other():
    """P(i then j) = w_i/W * w_j/(W - w_i), for every ordered pair."""
    weights, draws = np.array([1.0, 2.0, 3.0, 4.0]), 20_000
    pool = rows_of(weights)
    rng = np.random.default_rng(0)
    seen = [tuple(pool.draw(2, rng).tolist()) for _ in range(draws)]
    for i, j in permutations(range(4), 2):
        p = weights[i] / 10 * weights[j] / (10 - weights[i])
        assert seen.count((i, j)) / draws == pytest.approx(p, abs=4.5 * sqrt(p * (1 - p) / draws))


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=1, max_size=60),
    count=st.integers(0, 70),
    excluded=st.sets(st.integers(0, 59)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_draw_is_distinct_positive_not_excluded_complete_and_leaves_the_weights(weights, count, excluded, seed):
    excluded = {row for row in excluded if row < len(weights)}
    pool_weights = np.asarray(weights, np.float32)
    pool = WeightedRows(pool_weights)
    rows = pool.draw(count, np.random.default_rng(seed), excluded).tolist()
    eligible = {row for row, weight in enumerate(weights) if weight > 0} - excluded
    assert len(set(rows)) == len(rows) == min(count, len(eligible))
    assert set(rows) <= eligible
    assert np.array_equal(pool_weights, np.asarray(weights, np.float32))


def test_block_sums_follow_every_change_across_blocks():
    weights = np.ones(5_000, np.float32)
    pool = WeightedRows(weights)
    pool.set([0, 1023, 1024, 4_999], 0.0)
    assert pool.live == 4_996
    pool.set([0, 4_999], [0.25, 0.5])
    assert pool.live == 4_998
    fresh = WeightedRows(weights.copy())
    one, two = (p.draw(4_998, np.random.default_rng(3)).tolist() for p in (pool, fresh))
    assert one == two
    assert set(range(5_000)) - set(one) == {1023, 1024}
    pool.fill(1.0)
    assert pool.live == 5_000


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 4100), changed=st.integers(0, 40), power=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_changed_blocks_have_the_sums_that_new_ones_have_to_the_bit(size, changed, power, seed):
    rng = np.random.default_rng(seed)
    pool = WeightedRows((rng.random(size) ** power).astype(np.float32), live_above=0.1)
    pool.set(rng.integers(0, size, changed), rng.random(changed).astype(np.float32))
    fresh = WeightedRows(pool._weights.copy(), live_above=0.1)
    by_hand = [pool._weights[start : start + 1024].sum(dtype=np.float64) for start in range(0, size, 1024)]
    assert pool._sums.tolist() == fresh._sums.tolist() == by_hand
    assert pool._live.tolist() == fresh._live.tolist()


@settings(max_examples=40, deadline=None)
@given(before=st.integers(0, 1100), after=st.integers(0, 1100), seed=st.integers(0, 1000))
def test_a_longer_column_is_drawn_from_as_if_it_had_been_there_before(before, after, seed):
    weights = np.random.default_rng(seed).choice(np.array([0.0, 0.1, 1.0], np.float32), before + after)
    rows = WeightedRows(weights[:before].copy(), live_above=0.1)
    rows.attach(weights)
    at_once = WeightedRows(weights.copy(), live_above=0.1)
    assert (len(rows), rows.live) == (before + after, at_once.live)
    one, two = (each.draw(20, np.random.default_rng(seed)).tolist() for each in (rows, at_once))
    assert one == two


def test_a_single_light_row_among_many_empty_ones_is_found():
    weights = np.zeros(100_000, np.float32)
    weights[77_777] = 1e-6
    assert WeightedRows(weights).draw(3, np.random.default_rng(0)).tolist() == [77_777]
