"""Numbers of a curve, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.comparison.curves import Curve, cost_to_reach, late_mean, late_points, mean_over


def test_a_late_mean_is_over_the_last_part_of_the_cost():
    # A straight line from 0 to 1: over 85 to 100 its mean is that at 92.5.
    assert late_mean(Curve([0, 100], [0.0, 1.0]), 100) == pytest.approx(0.925)
    assert late_mean(Curve([0, 50, 100], [0.0, 0.5, 1.0]), 50) == pytest.approx(0.4625)


def test_a_profile_does_not_stretch_the_window():
    # It begins at 1,000: the last 15 % of the 100 spent after it.
    assert late_mean(Curve([1000, 1100], [0.0, 1.0]), 1100) == pytest.approx(0.925)


def test_a_mean_over_a_bend_by_hand():
    # From 0 to 10 it rises to 1, then it stays: (0.5 * 10 + 1 * 10) / 20.
    assert mean_over(Curve([0, 10, 20], [0.0, 1.0, 1.0]), 0, 20) == pytest.approx(0.75)
    assert mean_over(Curve([0, 10, 20], [0.0, 1.0, 1.0]), 5, 15) == pytest.approx((0.75 * 5 + 1 * 5) / 10)


def test_a_curve_says_nothing_beyond_its_ends():
    curve = Curve([10, 20], [0.1, 0.2])
    assert mean_over(curve, 5, 20) is None
    assert mean_over(curve, 10, 21) is None
    assert late_mean(curve, 9) is None
    assert late_mean(Curve([], []), 9) is None
    assert Curve([], []).end is None


def test_a_single_evaluation_is_its_value():
    assert late_mean(Curve([10], [0.4]), 10) == 0.4
    assert late_points(Curve([10], [0.4]), 10) == 1


def test_evaluations_in_the_window_are_counted():
    assert late_points(Curve([0, 80, 90, 100], [0.1] * 4), 100) == 2


def test_a_target_is_reached_by_three_evaluations_in_a_row():
    # Means of three: .4 .5 .6 .7
    curve = Curve([0, 10, 20, 30, 40, 50], [0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert cost_to_reach(curve, 0.5) == 30
    assert cost_to_reach(curve, 0.75) is None
    assert cost_to_reach(Curve([0, 1, 2, 3], [0.3, 0.9, 0.3, 0.3]), 0.6) is None


def test_a_short_curve_is_averaged_whole():
    assert cost_to_reach(Curve([0, 10], [0.2, 0.6]), 0.4) == 10
    assert cost_to_reach(Curve([], []), 0.4) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1), st.floats(0, 1))
def test_means_lie_between_the_values(values, begin, end):
    curve = Curve([float(place) for place in range(len(values))], values)
    last = len(values) - 1
    found = mean_over(curve, min(begin, end) * last, max(begin, end) * last)
    assert found is not None
    assert min(values) - 1e-9 <= found <= max(values) + 1e-9
