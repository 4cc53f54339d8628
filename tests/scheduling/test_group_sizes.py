from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import history_of, visit

from rekindle.scheduling.belief import Belief
from rekindle.scheduling.group_sizes import fixed, inverse_success, knapsack
from rekindle.types import UserError


def with_rates(rates):
    """A history whose posterior means are exactly these rates."""
    history = history_of(len(rates), Belief(0, 0))
    rates = np.asarray(rates, np.float64)
    history.prime(np.arange(len(rates)), 1024 * rates, 1024 * (1 - rates))
    return history


def value(p, n):
    return (1 - p**n - (1 - p) ** n) * p * (1 - p) ** 2


def test_fixed_sizes():
    assert fixed(4)(history_of(9), np.array([3, 1, 8])) == [4, 4, 4]
    with pytest.raises(ValueError, match="group size 0 is below 1"):
        fixed(0)


@pytest.mark.parametrize(
    ("rounding", "sizes"),
    [
        ("floor", [8, 8, 4, 2, 2, 2, 2, 2, 2]),
        ("nearest", [8, 8, 4, 2, 2, 2, 2, 2, 2]),
        ("ceil", [8, 8, 4, 4, 2, 2, 2, 2, 2]),
    ],
)
def test_inverse_success_for_0_to_8_of_8(rounding, sizes):
    history = with_rates(np.arange(9) / 8)
    assert inverse_success(2, 8, rounding)(history, np.arange(9)) == sizes


def test_inverse_success_rounds_the_logarithm_and_follows_the_posterior():
    history = with_rates([0.18, 0.17, 1 / 64, 1.0])  # log2(1/p) = 2.47, 2.56, 6, 0
    rows = np.arange(4)
    assert inverse_success(1, 128, "nearest")(history, rows) == [4, 8, 64, 1]
    assert inverse_success(1, 12)(history, rows) == [4, 4, 12, 1]
    fresh = history_of(1)
    size = inverse_success()
    assert size(fresh, np.array([0])) == [2]
    visit(fresh, 0, 0)
    assert size(fresh, np.array([0])) == [8]


@settings(max_examples=150, deadline=None)
@given(
    rates=st.lists(st.integers(0, 16), min_size=1, max_size=4).map(lambda them: [one / 16 for one in them]),
    minimum=st.integers(1, 3),
    spread=st.integers(0, 4),
    part=st.floats(0, 1),
)
def test_the_knapsack_equals_brute_force(rates, minimum, spread, part):
    maximum = minimum + spread
    mean = minimum + part * spread
    sizes = knapsack(mean, minimum, maximum)(with_rates(rates), np.arange(len(rates)))
    budget = round(mean * len(rates))
    assert sum(sizes) == budget
    assert all(minimum <= size <= maximum for size in sizes)
    ways = product(range(minimum, maximum + 1), repeat=len(rates))
    best = max(sum(map(value, rates, way)) for way in ways if sum(way) == budget)
    assert sum(map(value, rates, sizes)) == pytest.approx(best, abs=1e-12)


def test_the_knapsack_of_a_whole_batch_has_no_exchange_that_gains():
    rates = np.random.default_rng(0).beta(0.5, 0.5, 256).astype(np.float32).astype(float)
    sizes = knapsack(8)(with_rates(rates), np.arange(256))
    rates = with_rates(rates).posterior_mean()
    assert sum(sizes) == 2048
    gained = min(value(p, n) - value(p, n - 1) for p, n in zip(rates, sizes, strict=True) if n > 2)
    missed = max(value(p, n + 1) - value(p, n) for p, n in zip(rates, sizes, strict=True) if n < 128)
    assert gained >= missed - 1e-15


def test_equal_prompts_share_equally_and_certain_ones_get_the_minimum():
    rows = np.arange(4)
    assert knapsack(3.5, 2, 8)(with_rates([0.5] * 4), rows) == [4, 4, 3, 3]
    assert knapsack(4, 2, 8)(with_rates([0.0, 0.25, 1.0, 0.25]), rows) == [2, 6, 2, 6]
    assert knapsack(6, 2, 8)(with_rates([0.0, 0.25, 1.0, 0.25]), rows) == [4, 8, 4, 8]
    assert knapsack(4, 2, 8)(with_rates([0.5]), np.empty(0, np.int64)) == []


def test_hard_prompts_get_more_than_easy_ones_as_the_paper_values_them():
    sizes = knapsack(8)(with_rates([0.05, 0.3, 0.7, 0.95]), np.arange(4))
    assert sizes[0] > sizes[1] > sizes[3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: knapsack(1, 2, 8), r"mean_size = 1 rollouts per prompt does not fit groups .* 2 to .* 8"),
        (lambda: knapsack(9, 2, 8), "mean_size = 9"),
        (lambda: inverse_success(4, 2), r"minimum = 4 and maximum = 2 must be ordered"),
        (lambda: inverse_success(0, 2), "at least 1"),
    ],
)
def test_budgets_that_cannot_be_kept_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
