"""Numbers of self-play, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.environments.self_play.proposals import Reason
from rekindle.observability.self_play.numbers import SelfPlayNumbers, valid_rate, wished_rates
from rekindle.observability.self_play.rejections import rejection
from rekindle.observability.shares import Share


def row(proposals, valid, failed=0, **further):
    counts = {"self_play/proposals": proposals, "self_play/valid": valid, "self_play/failed": failed}
    return counts | {key.replace("__", "/"): value for key, value in further.items()}


ROWS = [
    row(8, 2, self_play__rejected__known=4, self_play__rejected__duplicate=2, self_play__right=1.0),
    row(8, 0, failed=1, self_play__rejected__known=7, self_play__right=None),
    row(0, 0, self_play__right=None),
    row(8, 6, self_play__rejected__too_long=2, self_play__right=0.5),
]


def test_counts_add_up():
    game = SelfPlayNumbers(ROWS)
    assert (game.proposals, game.valid, game.failed) == (24, 8, 1)
    assert list(game.rejected.items()) == [("known", 11), ("duplicate", 2), ("too_long", 2)]
    assert game.valid + game.failed + sum(game.rejected.values()) == game.proposals
    assert game.valid_share == Share(8, 24)


def test_rates_count_questions_and_not_steps():
    assert SelfPlayNumbers(ROWS).of_valid("self_play/right") == Share(2 * 1.0 + 6 * 0.5, 8)
    assert SelfPlayNumbers(ROWS[1:3]).of_valid("self_play/right") is None
    assert [valid_rate(one, "self_play/right") for one in ROWS] == [(2, 2), (0, 0), (0, 0), (3, 6)]


def test_quarters_and_steps_without_proposals():
    game = SelfPlayNumbers(ROWS)
    assert [game.quarter(index).rows for index in range(4)] == [[one] for one in ROWS]
    assert game.quarter(2).valid_share is None
    assert SelfPlayNumbers(ROWS[:3]).quarter(0).rows == []


def test_rates_by_wished_hops():
    rates = {"self_play/wished_10/valid_rate": 0.1, "self_play/wished_2/valid_rate": 0, "self_play/wished_hops": 3.0}
    assert list(wished_rates(rates | {"self_play/wished_4/valid_rate": None}).items()) == [(2, 0.0), (10, 0.1)]


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [(Share(8, 10), 0.490, 0.943), (Share(0, 10), 0.0, 0.278), (Share(10, 10), 0.722, 1.0), (Share(1, 1), 0.207, 1.0)],
)
def test_wilson_intervals(share, low, high):
    assert share.interval() == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_an_interval_has_the_share_in_it(whole, value):
    share = Share(value * whole, whole)
    low, high = share.interval()
    assert 0 <= low <= share.value + 1e-9
    assert share.value - 1e-9 <= high <= 1


def test_shares_that_chance_explains():
    """Of 100 and 100: 1.96 standard errors of the pooled share are 0.138 around 0.45 and 0.137 around 0.425."""
    assert not Share(50, 100).differs(Share(40, 100))
    assert Share(50, 100).differs(Share(35, 100))
    assert not Share(0, 5).differs(Share(0, 9))
    assert not Share(5, 5).differs(Share(9, 9))


def test_every_reason_has_words_and_a_remedy():
    names = [rejection(reason).name for reason in Reason]
    assert len(set(names)) == len(names) == len(Reason)
    assert all(rejection(reason).remedy != rejection("of tomorrow").remedy for reason in Reason)
    assert rejection("of_tomorrow").name == "of tomorrow"
