"""Which tokens of a negative rollout are trained: tables by hand and the properties of a rank filter."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.learning.token_filters import lowest_probability
from rekindle.types import UserError

logprobs = st.lists(st.sampled_from([-0.0, 0.0, -0.1, -0.5, -2.0, -9.0, -math.inf]) | st.floats(-20, 0), max_size=60)
ratios = st.floats(0, 1, exclude_min=True)

TABLE = [
    ([-1.0, -3.0, -2.0, -0.1], 0.5, [False, True, True, False]),
    ([-1.0, -3.0, -2.0, -0.1], 0.25, [False, True, False, False]),
    ([-1.0, -3.0, -2.0, -0.1], 0.26, [False, True, True, False]),  # ceil(1.04) = 2
    ([-1.0, -3.0, -2.0, -0.1], 1.0, [True] * 4),
    ([-1.0, -1.0, -1.0], 0.1, [True, False, False]),  # ties by position, at least one
    ([-0.5, -2.0, -2.0, -2.0], 0.5, [False, True, True, False]),
    ([-0.5], 1e-9, [True]),
    ([], 0.1, []),
]


@pytest.mark.parametrize(("values", "keep_ratio", "expected"), TABLE)
def test_hand_table(values, keep_ratio, expected):
    assert lowest_probability(values, keep_ratio) == expected


@given(tenths=st.integers(1, 10), n=st.integers(1, 2000))
def test_the_number_kept_is_that_of_the_decimal_and_not_of_its_rounding(tenths, n):
    """0.1 * 30 is 3.0000000000000004, and 3 * 0.1 * 10 is above 3 as well."""
    expected = math.ceil(Fraction(tenths, 10) * n)
    assert sum(lowest_probability([-1.0] * n, tenths / 10)) == expected
    assert sum(lowest_probability([-1.0] * n, min(1.0, tenths * 0.1))) == expected


@given(values=logprobs, keep_ratio=ratios)
def test_kept_tokens_are_the_first_of_the_rollout_sorted_by_probability_and_position(values, keep_ratio):
    mask = lowest_probability(values, keep_ratio)
    assert len(mask) == len(values)
    assert all(type(kept) is bool for kept in mask)
    order = sorted(range(len(values)), key=lambda position: (values[position], position))
    assert {position for position, kept in enumerate(mask) if kept} == set(order[: sum(mask)])
    assert sum(mask) >= min(1, len(values))


@given(values=logprobs, one=ratios, other=ratios)
def test_a_larger_share_keeps_what_a_smaller_one_keeps(values, one, other):
    small, large = sorted((one, other))
    pairs = zip(lowest_probability(values, small), lowest_probability(values, large), strict=True)
    assert all(in_large or not in_small for in_small, in_large in pairs)


@given(values=logprobs)
def test_a_share_of_one_is_no_filter(values):
    assert lowest_probability(values, 1.0) == [True] * len(values)


@pytest.mark.parametrize("keep_ratio", [0.0, -0.1, 1.0001, math.nan])
def test_a_share_outside_its_range_is_refused(keep_ratio):
    with pytest.raises(UserError, match=f"keep_ratio is {keep_ratio}; give a number above 0"):
        lowest_probability([-1.0], keep_ratio)
