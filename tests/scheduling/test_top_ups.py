import pytest

from rekindle.scheduling.top_ups import continue_mixed, until_balanced
from rekindle.types import UserError


@pytest.mark.parametrize(
    ("rewards", "rounds", "more"),
    [
        ([0, 1, 0, 0], 1, 20),
        ([0.1, 0.1 + 1e-12], 1, 20),
        ([0, 0, 0, 0], 1, 0),
        ([1, 1, 1, 1], 1, 0),
        ([0, 1, 0, 0] + [1] * 20, 2, 0),
    ],
)
def test_speed_continues_mixed_groups_once(rewards, rounds, more):
    assert continue_mixed(20)(rewards, rounds) == more


@pytest.mark.parametrize(
    ("right", "wrong", "rounds", "more"),
    [
        (2, 2, 1, 0),
        (3, 1, 1, 8),
        (1, 3, 1, 8),
        (0, 8, 1, 8),
        (0, 16, 2, 8),
        (1, 23, 3, 8),
        (1, 31, 4, 0),
        (2, 14, 2, 0),
        (31, 1, 4, 0),
    ],
)
def test_reinforce_ada_samples_until_half_of_each_or_the_bound(right, wrong, rounds, more):
    rule = until_balanced(4, round_size=8, max_rounds=4, success_at=0.5)
    assert rule([0.9] * right + [0.4] * wrong, rounds) == more


def test_an_odd_size_needs_its_half_of_both_kinds_rounded_up():
    rule = until_balanced(3, round_size=2)
    assert [rule(rewards, 1) for rewards in ([1, 0, 0], [1, 1, 0, 0])] == [2, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: continue_mixed(0), r"more = 0 is outside"),
        (lambda: until_balanced(0), r"size = 0 is outside"),
        (lambda: until_balanced(4, round_size=0), r"round_size = 0 is outside"),
        (lambda: until_balanced(4, max_rounds=0), r"max_rounds = 0 is outside"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
