"""Numbers as people read them: tables by hand, and what axis ticks promise."""

import math
import sys
from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rekindle.observability.formatting import compact, duration, excerpt, flops, grouped, percent, rate, ticks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (4000, "4k"), (45056, "45.1k"), (0.4637, "0.464"), (999.6, "1k"), (999_600, "1M"), (-1500, "-1.5k"),
        (0.0005, "0.0005"), (1.5e9, "1.5B"), (2.5e15, "2,500T"),
    ],
)  # fmt: skip
def test_compact(value, text):
    assert compact(value) == text


def test_grouped_rate_and_flops():
    assert (grouped(45056), grouped(12.6), rate(0.4637), rate(1)) == ("45,056", "13", "0.46", "1.00")
    assert (flops(3.2e15), flops(0), flops(944.2e9)) == ("3.2 PFLOP", "0 FLOP", "944 GFLOP")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 4, "25%"),
        (0, 5, "0%"),
        (5, 5, "100%"),
        (1, 1000, "<1%"),
        (999, 1000, ">99%"),
        (0, 0, "0%"),
        (0.385, 1, "38%"),
    ],
)
def test_percent_never_rounds_to_nothing_or_everything(part, whole, text):
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (4.21, "4.2 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (93.4, "1 min 33 s"), (7260, "2 h 1 min"),
     (100_000, "1 d 3 h")],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 45056, [0, 10000, 20000, 30000, 40000]),
        (1, 1.3, [1.0, 1.1, 1.2, 1.3]),
        (37, 37, [37]),
        (5, 2, [5]),
    ],
)
def test_ticks(low, high, expected):
    assert ticks(low, high) == expected


EDGES = [0.0, 5e-324, -5e-324, 1e-320, 1.0, math.nextafter(1.0, 2.0), 1e16, 1e300, math.nextafter(1e300, math.inf)]
EDGES += [sys.float_info.min, sys.float_info.max, -sys.float_info.max]
ANY_NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(EDGES)


def assert_ticks(low, high, count):
    found = ticks(low, high, count)
    assert 1 <= len(found) <= count + 1
    assert all(a < b for a, b in pairwise(found))
    assert all(low <= tick <= high for tick in found)
    return found


def test_ticks_at_the_ends_of_what_a_float_can_hold():
    assert ticks(0.0, 5e-324) == [0.0, 5e-324]
    assert ticks(-1.5e308, 1.5e308) == [-1e308, 0.0, 1e308]
    for low, high in product(EDGES, EDGES):
        assert_ticks(low, max(low, high), 5)


@given(ANY_NUMBER, ANY_NUMBER, st.integers(1, 20))
@example(0.0, 5e-324, 5)
def test_ticks_of_any_range_are_few_ascending_and_inside(one, other, count):
    assert_ticks(min(one, other), max(one, other), count)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_evenly_spaced(low, width, count):
    gaps = [b - a for a, b in pairwise(assert_ticks(low, low + width, count))]
    slack = 1e-9 * max(1.0, abs(low), width)
    assert all(gap == pytest.approx(gaps[0], rel=1e-6, abs=slack) for gap in gaps)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""), ("0123456789", "0123456789"), ("0123456789A", "012345678\u2026"), ("01234567  89", "01234567\u2026"),
        ("a\tb\r\nc", "a b \nc"), ("a\u202eb\x00", "a\ufffdb\u2400"), ("\ud800", "\ufffd"),
        ("a\u00adb\u2028", "a\ufffdb\ufffd"),        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ("\u05e9\u05dc", "\u05e9\u05dc"),
    ],
)  # fmt: skip
def test_excerpts_hide_nothing(text, shown):
    assert excerpt(text, 10) == shown


@given(st.text(), st.integers(1, 50))
def test_excerpts_are_short(text, limit):
    assert len(excerpt(text, limit)) <= limit
