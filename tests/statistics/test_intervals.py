"""Intervals, paired comparisons and Holm's rule by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.statistics.bootstrap import bootstrap_interval, percentile_interval, widening
from rekindle.statistics.comparisons import holm, paired_differences, paired_log_ratios
from rekindle.statistics.intervals import Interval, mean_interval, wilson
from rekindle.statistics.words import cell, difference, paired, ratio

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8)


def test_an_interval_of_three_values():
    # Mean 2, standard deviation 1; the 97.5 % quantile of Student's t with 2 degrees of freedom is 4.30265.
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.3026527 / math.sqrt(3)))


def test_one_value_has_no_interval():
    mean, half = mean_interval([0.5])
    assert mean == 0.5
    assert math.isnan(half)
    assert not bootstrap_interval(np.array([0.5])).known
    assert Interval(math.nan, math.nan).holds(0.3)


def test_a_share_has_an_interval_even_at_its_ends():
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


# -- bootstrap --------------------------------------------------------------------------------------------------------


def test_the_percentile_interval_of_three_values_is_their_range():
    # 1 of 27 resamples is three times the smallest: 3.7 %, more than 2.5 %.
    assert percentile_interval(np.array([3.0, 1.0, 2.0])) == Interval(1.0, 3.0)


def test_the_percentile_interval_of_four_values_by_hand():
    # Of 256 resamples of 0, 1, 2 and 4 the smallest sums are 0 (1), 1 (4), 2 (4 + 6 = 10): 2.5 % are 6.4 of them.
    # The largest are 16 (1), 14 (4), 13 (4): 9 reach 6.4.
    assert percentile_interval(np.array([0.0, 1.0, 2.0, 4.0])) == Interval(0.5, 3.25)


def test_limits_are_moved_away_from_the_mean():
    # sqrt(3 / 2) 4.30265 / 1.95996 = 2.6887
    assert widening(3) == pytest.approx(2.6887, abs=1e-4)
    found = bootstrap_interval(np.array([1.0, 2.0, 6.0]))
    assert (found.low, found.high) == pytest.approx((3 - 2 * 2.6887, 3 + 3 * 2.6887), abs=1e-3)
    assert widening(10_000) == pytest.approx(1, abs=1e-3)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_the_bootstrap_depends_on_the_values_and_not_on_their_order(values, random):
    shuffled = random.sample(values, len(values))
    assert bootstrap_interval(np.array(values)) == bootstrap_interval(np.array(shuffled))


def test_the_bootstrap_of_many_values_is_the_same_every_time():
    values = np.random.default_rng(3).normal(size=40)
    first, second = bootstrap_interval(values), bootstrap_interval(values[::-1])
    assert first == second
    mean, half = mean_interval(values.tolist())
    assert first.high - first.low == pytest.approx(2 * half, rel=0.1)
    assert first.holds(mean)


@given(NUMBERS, st.floats(0.01, 100), st.floats(-100, 100))
def test_the_bootstrap_moves_and_scales_with_the_values(values, scale, shift):
    one, other = (bootstrap_interval(np.array(some)) for some in (values, [scale * v + shift for v in values]))
    assert (other.low, other.high) == pytest.approx(
        (scale * one.low + shift, scale * one.high + shift), abs=1e-3 * scale
    )


def test_equal_values_have_an_interval_without_width():
    assert bootstrap_interval(np.array([0.25, 0.25, 0.25])) == Interval(0.25, 0.25)


# -- pairs ------------------------------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed():
    found = paired_differences({0: 0.5, 2: 0.71, 1: 0.8, 7: 0.1}, {0: 0.4, 1: 0.7, 2: 0.59, 3: 0.9})
    assert found.differences == pytest.approx({0: 0.1, 1: 0.1, 2: 0.12})
    assert list(found.differences) == [0, 1, 2]
    assert (found.count, found.left_out, found.mean) == (3, 0, pytest.approx(0.32 / 3))
    # Standard deviation 0.011547, half width 4.30265 * 0.011547 / sqrt(3) = 0.0286849.
    assert (found.t.low, found.t.high) == pytest.approx((0.0779818, 0.1353516), abs=1e-6)
    # t = 16 with 2 degrees of freedom: 1 - 16 / sqrt(258)
    assert found.p == pytest.approx(1 - 16 / math.sqrt(258), rel=1e-9)
    assert found.differs


def test_both_intervals_must_exclude_zero():
    one_sided = paired_differences({0: 1.0, 1: 2.0, 2: 3.0}, dict.fromkeys(range(3), 0.0))
    assert (one_sided.t.holds(0.0), one_sided.bootstrap.holds(0.0), one_sided.differs) == (True, True, False)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_values_that_are_missing_are_left_out_and_counted(missing):
    found = paired_differences({0: 0.5, 1: missing, 2: 0.7}, {0: 0.4, 1: 0.5, 2: 0.5})
    assert (list(found.differences), found.left_out) == ([0, 2], 1)


def test_a_single_seed_has_no_interval_and_no_verdict():
    found = paired_differences({0: 0.8}, {0: 0.7, 1: 0.6})
    assert (found.count, found.t.known, found.bootstrap.known, found.differs) == (1, False, False, False)
    assert math.isnan(found.p)


def test_no_common_seed():
    found = paired_differences({0: 0.8}, {1: 0.7})
    assert (found.count, found.left_out, found.differs) == (0, 0, False)
    assert math.isnan(found.mean)


def test_differences_that_are_equal_but_for_rounding_do_not_vary():
    found = paired_differences({0: 0.3, 1: 0.4, 2: 0.7}, {0: 0.2, 1: 0.3, 2: 0.6})
    assert (found.varies, found.t.low) == (False, found.t.high)
    assert math.isnan(found.p)
    same = paired_differences({0: 0.3, 1: 0.4}, {0: 0.3, 1: 0.4})
    assert (same.varies, same.p, same.differs) == (False, 1.0, False)


def test_ratios_are_geometric_and_invertible():
    ours, theirs = {0: 1.0, 1: 4.0}, {0: 2.0, 1: 2.0}
    assert paired_log_ratios(ours, theirs).mean == pytest.approx(0.0)
    assert paired_log_ratios({0: 1.0, 1: 3.0}, theirs).mean == -paired_log_ratios(theirs, {0: 1.0, 1: 3.0}).mean
    assert paired_log_ratios({0: 0.0, 1: 2.0}, theirs).left_out == 1


# -- multiplicity -----------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    # Ordered .01, .02, .03, .04: times 4, 3, 2, 1 and never descending.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_holm_leaves_out_what_was_not_compared():
    adjusted = holm([math.nan, 0.02, 0.5])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == [0.04, 0.5]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_between_the_p_value_and_bonferroni(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p)


# -- words ------------------------------------------------------------------------------------------------------------


def test_one_seed_has_no_interval():
    assert paired([0.8], [0.7]) == "+0.100 (one seed)"
    assert ratio([3.0], [2.0]) == "x 1.50 (one seed)"


def test_pairing_keeps_the_variation_of_seeds_out():
    # Seeds differ by 0.3, arms by 0.1 to 0.12: unpaired this would drown.
    assert paired([0.5, 0.8, 0.71], [0.4, 0.7, 0.59]) == "+0.107 ± 0.029"


def test_an_interval_that_holds_zero_is_no_difference():
    assert paired([0.5, 0.7], [0.6, 0.5]) == "no difference seen (+0.050 ± 1.906)"
    assert difference(0.02, 0.02) == "no difference seen (+0.020 ± 0.020)"
    assert difference(-0.03, 0.02) == "-0.030 ± 0.020"


def test_ratios_in_words():
    # Ratios 1/2 and 2: their mean is 1, not 1.25. Ratios 2 and 2 have an interval of no width.
    assert ratio([1.0, 4.0], [2.0, 2.0]).startswith("no difference seen: x 1.00")
    assert ratio([2.0, 6.0], [1.0, 3.0]) == "x 2.00 (2.00 to 2.00)"


def test_a_cell_names_the_spread_where_there_is_one():
    assert cell([2.0, 2.0], ".1f") == "2.0"
    assert cell([1.0, 3.0], ".2f") == "2.00 ± 1.41"
