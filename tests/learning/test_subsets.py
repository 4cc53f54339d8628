"""Which rollouts of a group are trained on: tables by hand and brute force."""

from itertools import combinations
from statistics import pvariance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.learning.subsets import Subset, balanced, max_variance
from rekindle.types import UserError

rewards = st.lists(st.sampled_from([0.0, 1.0]) | st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=1, max_size=8)
sizes = st.integers(1, 8)

MAX_VARIANCE = [
    ([1, 1, 1, 0, 0, 0, 0], 4, [0, 1, 3, 4]),
    ([0, 0, 0, 1, 0], 3, [0, 1, 3]),  # one success is all there is
    ([1, 1, 0, 1, 1], 3, [0, 1, 2]),
    ([1, 1, 1, 1], 2, [0, 1]),  # nothing differs: the first two
    ([0.5, 0.1, 0.9, 0.4], 2, [1, 2]),
    ([0, 1, 2, 3], 3, [0, 1, 3]),  # as good as {0, 2, 3}: fewer of the highest
    ([3, 0.2, 0.1], 1, [2]),  # any single rollout has variance 0: none of the highest
    ([1, 0], 2, [0, 1]),
    ([1, 0], 9, [0, 1]),
]

BALANCED = [
    ([1, 1, 1, 0, 0, 0, 0], 4, [0, 1, 3, 4]),
    ([0, 0, 1, 0, 0, 0], 4, [0, 1, 2, 3]),  # one right answer, filled up with wrong ones
    ([1, 1, 0, 1, 1, 1], 4, [0, 1, 2, 3]),
    ([0, 1, 1, 0, 1, 0, 1], 5, [0, 1, 2, 3, 5]),  # of an odd size the odd one is wrong
    ([1, 1, 1], 2, [0, 1]),
    ([0.6, 0.4, 0.5, 0.1], 2, [0, 1]),
    ([1, 0], 2, [0, 1]),
    ([], 2, []),
]


@pytest.mark.parametrize(("values", "size", "expected"), MAX_VARIANCE)
def test_max_variance_by_hand(values, size, expected):
    assert max_variance(values, size) == expected


@pytest.mark.parametrize(("values", "size", "expected"), BALANCED)
def test_balanced_by_hand(values, size, expected):
    assert balanced(values, size) == expected


def test_the_threshold_of_success_is_the_callers():
    assert balanced([0.6, 0.7, 0.9, 0.8], 2, success_at=0.8) == [0, 2]


@settings(deadline=None)
@given(values=rewards, size=sizes, shift=st.sampled_from([0.0, 1e3, -1e3]))
def test_no_subset_has_a_larger_variance(values, size, shift):
    shifted = [value + shift for value in values]
    chosen = max_variance(shifted, size)
    best = max(pvariance(subset) for subset in combinations(shifted, min(size, len(values))))
    assert pvariance([shifted[index] for index in chosen]) == pytest.approx(best, abs=1e-9)


@settings(deadline=None)
@given(values=rewards, size=sizes)
def test_indices_ascend_are_as_many_as_asked_for_and_prefer_the_earlier_of_equals(values, size):
    for choose in (max_variance, balanced):
        chosen = choose(values, size)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(size, len(values))
        for index in chosen:
            assert all(earlier in chosen for earlier in range(index) if values[earlier] == values[index])


@settings(deadline=None)
@given(values=rewards, size=sizes)
def test_balanced_is_as_even_as_the_group_allows(values, size):
    chosen = balanced(values, size)
    right, chosen_right = sum(v >= 0.5 for v in values), sum(values[i] >= 0.5 for i in chosen)
    wrong, chosen_wrong = len(values) - right, len(chosen) - chosen_right
    assert chosen_right >= min(right, size // 2)
    assert chosen_wrong >= min(wrong, size // 2)


@pytest.mark.parametrize("choose", [max_variance, balanced])
def test_a_subset_of_nothing_is_refused(choose):
    with pytest.raises(UserError, match="size is 0; give 1 or more"):
        choose([1.0, 0.0], 0)


def test_a_rule_says_whose_baseline_it_wants():
    pods = Subset(lambda values: max_variance(values, 2), "selected")
    assert (pods.choose([0.0, 1.0, 1.0]), pods.baseline) == ([0, 1], "selected")
