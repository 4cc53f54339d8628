"""Reading rows of the step log, by hand and by property."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rekindle.observability.rows import (
    LEVELS_SHOWN,
    averages,
    buckets,
    by_level,
    number,
    shown_levels,
    solver_rollouts,
    total,
)


def test_numbers_are_numbers():
    rows: list[dict[str, Any]] = [{"a": 2, "b": None}, {"a": 0.5, "b": "1"}, {}]
    assert [number(row, "a") for row in rows] == [2.0, 0.5, None]
    assert [number(row, "b") for row in rows] == [None, None, None]
    assert (total(rows, "a"), total(rows, "b")) == (2.5, 0.0)


def test_the_solver_played_what_the_proposer_did_not():
    assert solver_rollouts({"rollouts": 40, "self_play/proposals": 8}) == 32
    assert solver_rollouts({"rollouts": 40}) == 40


def test_levels_of_a_row():
    row = {
        "level_10/reward": 0.1,
        "level_2/reward": 0.5,
        "level_3/reward": None,
        "level_2/groups": 4,
        "xlevel_1/reward": 1,
    }
    assert list(by_level(row, "reward").items()) == [(2, 0.5), (10, 0.1)]
    assert by_level(row, "accuracy") == {}


@given(st.sets(st.integers(0, 99)))
def test_shown_levels_are_few_and_reach_from_the_easiest_to_the_hardest(levels):
    shown = shown_levels(levels)
    assert len(shown) == len(set(shown)) == min(LEVELS_SHOWN, len(levels))
    assert shown == sorted(shown)
    assert not levels or {min(levels), max(levels)} <= set(shown) <= levels


@given(st.integers(0, 3000), st.integers(1, 300))
def test_buckets_cover_everything_in_order(count, limit):
    slices = list(buckets(count, limit))
    assert len(slices) <= limit
    assert [index for place in slices for index in range(place.start, place.stop)] == list(range(count))


def test_averages_skip_what_is_unknown():
    assert averages([1.0, 3.0, None, 5.0, None, None, 7.0], 4) == [2.0, 5.0, None, 7.0]
