"""Student's t against closed forms and printed tables."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.statistics.students_t import quantile, two_sided

TABLE = {
    # degrees of freedom: quantiles at 90, 95, 97.5, 99 and 99.5 %, as printed in tables
    1: (3.078, 6.314, 12.706, 31.821, 63.657),
    2: (1.886, 2.920, 4.303, 6.965, 9.925),
    3: (1.638, 2.353, 3.182, 4.541, 5.841),
    4: (1.533, 2.132, 2.776, 3.747, 4.604),
    5: (1.476, 2.015, 2.571, 3.365, 4.032),
    6: (1.440, 1.943, 2.447, 3.143, 3.707),
    7: (1.415, 1.895, 2.365, 2.998, 3.499),
    8: (1.397, 1.860, 2.306, 2.896, 3.355),
    9: (1.383, 1.833, 2.262, 2.821, 3.250),
    10: (1.372, 1.812, 2.228, 2.764, 3.169),
    15: (1.341, 1.753, 2.131, 2.602, 2.947),
    20: (1.325, 1.725, 2.086, 2.528, 2.845),
    30: (1.310, 1.697, 2.042, 2.457, 2.750),
    60: (1.296, 1.671, 2.000, 2.390, 2.660),
    120: (1.289, 1.658, 1.980, 2.358, 2.617),
}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_those_of_the_tables(freedom):
    found = [round(quantile(level, freedom), 3) for level in (0.9, 0.95, 0.975, 0.99, 0.995)]
    assert found == list(TABLE[freedom])


@given(st.floats(0.001, 0.999))
def test_one_degree_of_freedom_is_the_cauchy_distribution(probability):
    assert quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9, abs=1e-9)


@given(st.floats(0.001, 0.999))
def test_two_degrees_of_freedom_have_a_closed_form(probability):
    exact = (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    assert quantile(probability, 2) == pytest.approx(exact, rel=1e-9, abs=1e-9)


@given(st.floats(0, 500))
def test_the_tail_of_two_degrees_of_freedom(t):
    # Taken as a quotient, as the difference 1 - t / sqrt(t^2 + 2) loses digits.
    root = math.sqrt(t * t + 2)
    assert two_sided(t, 2) == pytest.approx(2 / (root * (root + t)), rel=1e-10)


@given(st.floats(0.001, 0.999), st.integers(1, 3000))
def test_tail_and_quantile_are_inverse_and_symmetric(probability, freedom):
    t = quantile(probability, freedom)
    assert two_sided(t, freedom) == pytest.approx(2 * min(probability, 1 - probability), rel=1e-8)
    assert quantile(1 - probability, freedom) == pytest.approx(-t, rel=1e-9, abs=1e-9)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert quantile(0.975, 1e7) == pytest.approx(NormalDist().inv_cdf(0.975), rel=1e-6)


def test_the_ends():
    assert two_sided(0.0, 3) == 1.0
    assert two_sided(math.inf, 3) == 0.0
    assert math.isnan(two_sided(math.nan, 3))
    assert quantile(0.5, 3) == 0.0
    with pytest.raises(ValueError, match="a probability in"):
        quantile(1.0, 3)
