import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import assert_binomial, history_of, record, visit

from rekindle.scheduling.pools import CyclingPool, SelectivePool
from rekindle.testing import check_pool
from rekindle.types import Fate, Outcome, UserError


def without_signal(prompts, visits, successes):
    """A history in which every prompt had ``visits`` visits without signal."""
    history = history_of(prompts)
    for row in range(prompts):
        for _ in range(visits):
            visit(history, row, successes)
    return history


def step(pool, right, mixed, wrong, failed=0):
    outcomes = [Outcome.ALL_CORRECT] * right + [Outcome.MIXED] * mixed + [Outcome.ALL_WRONG] * wrong + [None] * failed
    pool.update([record(row, outcome=outcome) for row, outcome in enumerate(outcomes)])


@pytest.mark.parametrize("explore", [0.0, 0.01, 0.3, 1.0])
def test_every_setting_conforms(explore):
    check_pool(partial(SelectivePool, explore=explore))


@settings(max_examples=40, deadline=None)
@given(
    prompts=st.integers(1, 40),
    steps=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=20),
)
def test_without_skips_it_is_cycling_bit_for_bit(prompts, steps):
    plain, pool = CyclingPool(history_of(prompts)), SelectivePool(history_of(prompts), explore=1.0)
    for seed, (count, successes) in enumerate(steps):
        in_flight = set(range(seed % 3)) & set(range(prompts))
        rows = [one.draw(count, np.random.default_rng(seed), in_flight).tolist() for one in (pool, plain)]
        assert rows[0] == rows[1]
        for row in rows[0]:
            visit(pool.history, row, successes)
        pool.update([record(row, Fate.RETIRED, Outcome.ALL_WRONG) for row in rows[0]])
        assert (pool.live, pool.resets, pool.metrics()["pool/skipped"]) == (plain.live, plain.resets, 0)


@pytest.mark.parametrize("successes", [2, None])
def test_new_prompts_and_prompts_with_signal_are_never_skipped(successes):
    """Nor do they use up random numbers: a pool without such prompts draws exactly as cycling does."""
    history = history_of(30) if successes is None else without_signal(30, 3, successes)
    pool, plain = SelectivePool(history), CyclingPool(history_of(30))
    for seed in range(6):
        assert np.array_equal(pool.draw(7, np.random.default_rng(seed)), plain.draw(7, np.random.default_rng(seed)))


def test_the_chance_of_a_rollout_by_hand():
    history = history_of(6)
    for row, visits in enumerate([[], [4], [4, 4, 4], [0, 0], [4, 0], [0] * 30]):
        for successes in visits:
            visit(history, row, successes)
    pool = SelectivePool(history)
    pool.p_easy, pool.p_hard = 0.5, 0.25
    assert pool.rollout_chance(np.arange(6)).tolist() == [1, 0.5, 0.125, 0.0625, 0.0625, 0.01]


@pytest.mark.parametrize(("visits", "chance"), [(1, 0.5), (2, 0.25), (4, 0.0625), (12, 0.01)])
def test_prompts_are_skipped_at_their_rate(visits, chance):
    """One draw that asks for everything makes every prompt a candidate once."""
    pool = SelectivePool(without_signal(5000, visits, 0))
    rows = pool.draw(5000, np.random.default_rng(visits))
    pool.update([])
    assert_binomial(len(rows), 5000, chance)
    assert pool.metrics()["pool/skipped"] == 5000 - len(rows)


def test_easy_and_hard_prompts_are_skipped_by_their_own_chance():
    history = without_signal(4000, 1, 4)
    for row in range(2000):
        visit(history, row, 0)
        history.unanimous_streak[row] = 1
    pool = SelectivePool(history)
    pool.p_easy, pool.p_hard = 0.9, 0.2
    rows = pool.draw(4000, np.random.default_rng(0))
    assert_binomial(int((rows < 2000).sum()), 2000, 0.2)
    assert_binomial(int((rows >= 2000).sum()), 2000, 0.9)


def test_a_draw_consumes_what_it_drew_and_skipped_and_nothing_else():
    pool = SelectivePool(without_signal(1000, 3, 0))
    seen = set()
    for seed in range(8):
        live = pool.live
        rows = set(pool.draw(10, np.random.default_rng(seed)).tolist())
        assert len(rows) == 10
        assert not rows & seen
        gone = set(np.flatnonzero(pool.history.weight == 0).tolist())
        assert rows <= gone
        pool.update([])
        assert live - pool.live == 10 + pool.metrics()["pool/skipped"]
        seen = gone
    assert pool.resets == 0


@pytest.mark.slow
def test_the_number_of_candidates_of_a_draw_is_that_of_tossing_one_after_the_other():
    """Candidates until 10 pass at chance 1/8 are negative binomial: mean 80, variance 10 * 7/8 * 64 = 560."""
    used = []
    for seed in range(400):
        pool = SelectivePool(without_signal(400, 0, 0))
        pool.history.unanimous_streak[:] = 3
        pool.draw(10, np.random.default_rng(seed))
        used.append(400 - pool.live)
    assert np.mean(used) == pytest.approx(80, abs=5 * (560 / 400) ** 0.5)


def test_where_all_are_skipped_the_first_candidates_are_taken_after_all():
    pool, plain = SelectivePool(without_signal(20, 60, 0), explore=0.0), CyclingPool(history_of(20))
    rows = pool.draw(6, np.random.default_rng(0)).tolist()
    assert rows == plain.draw(6, np.random.default_rng(0)).tolist()
    pool.update([])
    assert pool.metrics()["pool/skipped"] == 14
    for seed in range(10):
        assert 0 < len(pool.draw(6, np.random.default_rng(seed))) <= 6
    assert pool.draw(6, np.random.default_rng(2), in_flight=set(range(20))).tolist() == []


def test_both_chances_move_towards_the_target_by_hand():
    """Target 1/2, a quarter of it easy: 1/8 of the graded groups all correct, 3/8 all wrong."""
    pool = SelectivePool(history_of(4), target=0.5, easy_part=0.25, start=0.5, step=0.25, least=0.125, most=0.875)
    table = []
    for groups in ((2, 3, 3), (0, 4, 4), (0, 1, 3, 5), (1, 6, 1), (0, 0, 0, 6)):
        step(pool, *groups)
        table.append((pool.p_easy, pool.p_hard))
    assert table == [(0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (0.875, 0.5), (0.875, 0.5)]
    for _ in range(6):
        step(pool, 5, 0, 5)
    assert (pool.p_easy, pool.p_hard) == (0.125, 0.125)


def test_presets_are_those_of_the_paper():
    pool = SelectivePool(history_of(4))
    step(pool, 1, 10, 1)  # 1/12 is not above 0.25 / 3, and 1/12 is below 0.25 * 2 / 3
    assert (pool.p_easy, pool.p_hard) == (0.51, 0.51)
    for _ in range(100):
        step(pool, 5, 0, 5)
    assert (pool.p_easy, pool.p_hard) == (0.05, 0.05)
    for _ in range(100):
        step(pool, 0, 5, 0)
    assert (pool.p_easy, pool.p_hard) == (0.95, 0.95)


def test_skips_are_counted_until_their_step_is_over_across_a_restart():
    pool = SelectivePool(without_signal(200, 5, 0))
    pool.draw(3, np.random.default_rng(0))
    other = SelectivePool(history_of(200))
    other.history.load_state_dict(pool.history.state_dict())
    other.load_state_dict(json.loads(json.dumps(pool.state_dict())))
    for one in (pool, other):
        step(one, 0, 2, 1)
    assert pool.metrics() == other.metrics()
    assert pool.metrics()["pool/skipped"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"explore": 1.1}, r"explore = 1\.1 is outside"),
        ({"easy_part": -0.1}, r"easy_part = -0\.1"),
        ({"start": 0.99}, r"must be ordered"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        SelectivePool(history_of(4), **settings)
