from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import assert_binomial, history_of, record, visit

from fast import sample
from rekindle.scheduling.belief import Belief
from rekindle.scheduling.pools import CyclingPool, PrioritizedPool, RecyclingPool
from rekindle.scheduling.priorities import signal_chance, uncertainty, uniform
from rekindle.scheduling.scheduler import Scheduler
from rekindle.scheduling.temperatures import fixed
from rekindle.testing import SimulatedPolicy, check_pool
from rekindle.types import Fate, UserError

CHANCE = signal_chance(4, fixed(1.0))
THOMPSON = signal_chance(4, fixed(1.0), estimate="sample", floor=0.0)
FLAT = signal_chance(4, fixed(1.0), estimate="sample", sharpness=0.0)


def constant(*weights):
    return lambda history, rng: np.array(weights, float)


@pytest.mark.parametrize("consume", sample(["none", "drawn", "trained"], "trained"))
@pytest.mark.parametrize("select", ["weighted", "best"])
@pytest.mark.parametrize("priority", [uniform(), CHANCE, THOMPSON, uncertainty()])
def test_every_setting_conforms(priority, select, consume):
    check_pool(partial(PrioritizedPool, priority=priority, select=select, consume=consume))


@settings(max_examples=40, deadline=None)
@given(
    prompts=st.integers(1, 40),
    counts=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), min_size=1, max_size=20),
    arm=st.sampled_from(["drawn", "hard", "soft", "reset early"]),
    priority=st.sampled_from([uniform(), FLAT]),
)
def test_with_equal_priorities_it_is_cycling_and_recycling_bit_for_bit(prompts, counts, arm, priority):
    every: dict[str, dict[str, Any]] = {
        "drawn": {}, "hard": {}, "soft": {"alpha": 0.1}, "reset early": {"reset_below": 0.6},
    }  # fmt: skip
    options = every[arm]
    plain = CyclingPool(history_of(prompts)) if arm == "drawn" else RecyclingPool(history_of(prompts), **options)
    consume: Any = "drawn" if arm == "drawn" else "trained"
    pool = PrioritizedPool(history_of(prompts), priority, consume=consume, **options)
    assert pool.no_signal is plain.no_signal
    for seed, (count, trained) in enumerate(counts):
        in_flight = set(range(seed % 3)) & set(range(prompts))
        rows = [one.draw(count, np.random.default_rng(seed), in_flight).tolist() for one in (pool, plain)]
        assert rows[0] == rows[1]
        for one in (pool, plain):
            one.update([record(row, Fate.TRAINED if at < trained else Fate.EXCESS) for at, row in enumerate(rows[0])])
        assert (pool.live, pool.resets) == (plain.live, plain.resets)
        assert np.array_equal(pool.history.weight, plain.history.weight)


def test_nothing_is_consumed_unless_asked_for():
    pool = PrioritizedPool(history_of(6), uniform())
    for seed in range(5):
        rows = pool.draw(6, np.random.default_rng(seed))
        assert sorted(rows.tolist()) == list(range(6))
        pool.update([record(int(row)) for row in rows])
    assert (pool.live, pool.resets, pool.no_signal) == (6, 0, Fate.RECYCLED)


@pytest.mark.parametrize("consume", ["none", "drawn", "trained"])
def test_draws_are_in_proportion_to_weight_times_priority(consume):
    weights, draws, firsts = [0.1, 0.2, 0.3, 0.4], 4000, np.zeros(4, int)
    rng = np.random.default_rng(0)
    pool = PrioritizedPool(history_of(4), constant(*weights), consume=consume)
    for _ in range(draws):
        pool.history.weight[:] = 1.0
        firsts[pool.draw(1, rng)[0]] += 1
    for row, weight in enumerate(weights):
        assert_binomial(int(firsts[row]), draws, weight)


def test_soft_consumption_multiplies_the_priority():
    pool = PrioritizedPool(history_of(2), constant(0.2, 0.8), consume="trained", alpha=0.25)
    pool.update([record(1), record(0, Fate.EXCESS)])
    rng, draws = np.random.default_rng(1), 4000
    assert_binomial(sum(int(pool.draw(1, rng)[0]) for _ in range(draws)), draws, 0.5)


@pytest.mark.slow
def test_spo_draws_by_the_std_of_a_rollout():
    """Rates 0, 1/2 and 0.9 weigh 0.05, 0.55 and 0.35."""
    history = history_of(3, Belief(0, 0, half_life=0.06, least=0.875, most=0.96))
    history.prime(np.arange(3), [0, 4, 9], [8, 4, 1])
    pool, rng, draws = PrioritizedPool(history, uncertainty(0.05)), np.random.default_rng(2), 4000
    firsts = np.bincount([pool.draw(1, rng)[0] for _ in range(draws)], minlength=3)
    for row, weight in enumerate((0.05, 0.55, 0.35)):
        assert_binomial(int(firsts[row]), draws, weight / 0.95)


def test_mopps_takes_the_samples_nearest_to_one_half():
    history = history_of(500, Belief(1, 1, least=0.9, most=0.9))
    for row in range(500):
        visit(history, row, row % 9, n=8)
    rows = PrioritizedPool(history, THOMPSON, select="best").draw(32, np.random.default_rng(7), {3, 4, 5})
    p = np.random.default_rng(7).beta(*history.posterior())
    distance = np.abs(p - 0.5)
    distance[[3, 4, 5]] = 1
    assert sorted(rows.tolist()) == sorted(np.argsort(distance)[:32].tolist())


def test_priorities_are_computed_anew_at_each_draw():
    history = history_of(3, Belief(0, 0))
    history.prime(np.arange(3), [4, 7, 8], [4, 1, 0])
    pool = PrioritizedPool(history, CHANCE, select="best")
    assert pool.draw(1, np.random.default_rng(0)).tolist() == [0]
    history.prime(np.arange(3), [8, 7, 4], [0, 1, 4])
    assert pool.draw(1, np.random.default_rng(0)).tolist() == [2]


def test_equal_prompts_are_chosen_among_at_random():
    pool, rng = PrioritizedPool(history_of(5), constant(3, 1, 1, 1, 1), select="best"), np.random.default_rng(3)
    draws = [pool.draw(3, rng).tolist() for _ in range(2000)]
    assert all(0 in draw and len(set(draw)) == 3 for draw in draws)
    for row in range(1, 5):
        assert_binomial(sum(row in draw for draw in draws), 2000, 0.5)


@pytest.mark.parametrize("select", ["weighted", "best"])
def test_prompts_of_no_priority_come_last_and_consumed_ones_not_at_all(select):
    pool = PrioritizedPool(history_of(4), constant(0, 2, 0, 1), select=select, consume="trained")
    pool.update([record(2)])
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert sorted(pool.draw(2, rng).tolist()) == [1, 3]
        assert sorted(pool.draw(4, rng).tolist()) == [0, 1, 3]
        assert pool.draw(4, rng, {0, 1, 3}).tolist() == []


def mixed_groups(make_pool, steps=40):
    """Groups with signal among the last half of 640, when one prompt in five is at 1/2 and the others are certain."""
    rates = np.array([0.5, 0.0, 1.0, 0.0, 1.0] * 40)
    scheduler, policy, mixed = Scheduler(make_pool(history_of(200)), groups_per_step=16), SimulatedPolicy(rates), 0
    for version in range(1, steps + 1):
        while (request := scheduler.ask()) is not None:
            scheduler.tell(request.id, policy.play(request))
        groups = scheduler.take()
        assert groups is not None
        mixed += len(groups) * (version > steps // 2)
        scheduler.advance(version)
    return mixed


def test_against_a_simulated_policy_the_prompts_that_teach_are_found():
    """Blind draws find 1/5 * 7/8 of 320 groups, 56; 7/8 of them, 280, is the most there is."""
    assert_binomial(mixed_groups(CyclingPool), 320, 0.2 * 0.875)
    assert mixed_groups(partial(PrioritizedPool, priority=CHANCE)) > 1.75 * 56
    assert mixed_groups(partial(PrioritizedPool, priority=THOMPSON, select="best")) > 0.75 * 280


def test_settings_that_nothing_would_read_are_refused():
    with pytest.raises(UserError, match=r'no effect with consume = "drawn"; leave them out'):
        PrioritizedPool(history_of(4), uniform(), consume="drawn", alpha=0.1)
    with pytest.raises(UserError, match="reset_below = 1 is outside"):
        PrioritizedPool(history_of(4), uniform(), consume="trained", reset_below=1)
