"""Starvation of pools from which trained prompts leave."""

import json

import pytest
from scheduling_cases import history_of

from rekindle.scheduling.pools import CyclingPool, RecyclingPool
from rekindle.scheduling.starvation import STARVATION_STEPS, StarvationWatch, starves


def test_below_a_quarter_of_what_is_wanted():
    assert [starves(trained, 16) for trained in (0, 3.9, 4, 16)] == [True, True, False, False]


def noted(pool, trained, wanted=8):
    watch = StarvationWatch()
    return [(watch.note(pool, one, wanted), watch.starving) for one in trained]


def test_it_takes_eight_steps_is_said_when_it_begins_and_ends():
    recycling = RecyclingPool(history_of(4))
    assert STARVATION_STEPS == 8
    found = noted(recycling, [0] * 10 + [8] * 3 + [0] * 8)
    assert [starving for _, starving in found[:7]] == [False] * 7
    begins = [step for step, (begins, _) in enumerate(found, start=1) if begins]
    assert begins == [8, 20], "8 steps of nothing, and again when two of three good steps have left the window"
    assert not found[11][1]


@pytest.mark.parametrize("trained", [[0] * 20, [1] * 20])
def test_a_pool_whose_draws_consume_never_starves(trained):
    assert not any(starving for _, starving in noted(CyclingPool(history_of(4)), trained))


def test_saved_and_restored_it_says_nothing_twice():
    pool, watch, other = RecyclingPool(history_of(4)), StarvationWatch(), StarvationWatch()
    for _ in range(9):
        watch.note(pool, 0, 8)
    other.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert (other.starving, other.mean) == (watch.starving, watch.mean) == (True, 0.0)
    assert not other.note(pool, 0, 8)
