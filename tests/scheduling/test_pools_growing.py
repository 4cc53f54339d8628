"""Growth of pools during a run, alone and inside a GrowingPool."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import POOLS, history_of, record, through_checkpoint, visit

from rekindle.scheduling.history import History
from rekindle.scheduling.pools import (
    CyclingPool,
    GrowingPool,
    Phase,
    PhasedPool,
    PrioritizedPool,
    RecyclingPool,
    SelectivePool,
)
from rekindle.scheduling.priorities import uncertainty
from rekindle.testing import check_pool
from rekindle.types import Fate, Outcome, UserError

CONSUMES_DRAWN = {"cycling", "selective", "prioritized, drawn"}


def empty(pool=RecyclingPool, **settings):
    return GrowingPool(pool(History([], growing=True)), **settings)


def draw(pool, count, seed=0, in_flight=()):
    return pool.draw(count, np.random.default_rng(seed), in_flight).tolist()


def names(first, last):
    return [f"t{number}" for number in range(first, last)]


# -- pools over a history that grows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", POOLS)
def test_a_pool_that_has_grown_goes_on_like_one_of_that_size(kind):
    grown, whole = POOLS[kind](history_of(20)), POOLS[kind](history_of(50))
    play(grown, 4)
    grown.history.extend(names(20, 50))
    grown.grown()
    assert grown.history.weight[20:].tolist() == [1.0] * 30
    whole.history.load_state_dict(grown.history.state_dict())
    whole.load_state_dict(grown.state_dict())
    assert grown.live == whole.live >= 30
    assert play(grown, 8, begin=4) == play(whole, 8, begin=4)
    assert (grown.live, grown.resets) == (whole.live, whole.resets)


def play(pool, steps, begin=0, count=7):
    """Draw and update; every third prompt has signal, the others are solved."""
    seen = []
    for step in range(begin, begin + steps):
        rows = draw(pool, count, step)
        told = [(row, visit(pool.history, row, 2 if row % 3 == 0 else 4)) for row in rows]
        fates = {Outcome.MIXED: Fate.TRAINED, Outcome.ALL_CORRECT: pool.no_signal}
        pool.update([record(row, fates[outcome], outcome) for row, outcome in told])
        seen.append(rows)
    return seen


@pytest.mark.parametrize("kind", POOLS)
def test_rows_marked_as_drawn_are_consumed_where_a_draw_consumes(kind):
    pool = POOLS[kind](history_of(5))
    pool.mark_drawn(np.array([1, 4]))
    consumed = kind in CONSUMES_DRAWN
    assert pool.history.weight.tolist() == ([1, 0, 1, 1, 0] if consumed else [1, 1, 1, 1, 1])
    assert pool.live == (3 if consumed else 5)


@pytest.mark.parametrize("kind", POOLS)
def test_removed_prompts_never_come_back(kind):
    pool = POOLS[kind](history_of(6))
    pool.keep_only(np.array([1, 4]))
    assert (pool.history.weight.tolist(), pool.live) == ([0, 1, 0, 0, 1, 0], 2)
    pool.history.extend(names(6, 8))
    pool.grown()
    assert pool.history.weight.tolist() == [0, 1, 0, 0, 1, 0, 1, 1]
    seen = set()
    for seed in range(30):
        rows = draw(pool, 3, seed)
        seen |= set(rows)
        pool.update([record(row) for row in (0, 5, *rows)])  # 0 and 5 were in flight when they left
        assert pool.history.weight[[0, 2, 3, 5]].tolist() == [0, 0, 0, 0]
    assert seen == {1, 4, 6, 7}
    assert pool.resets > 0 or kind == "prioritized"


def test_the_live_fraction_of_a_reset_is_that_of_the_prompts_there_are():
    pool = RecyclingPool(history_of(100), reset_below=0.5)
    pool.keep_only(np.arange(4))
    pool.update([record(0), record(1)])
    draw(pool, 1)
    assert (pool.resets, pool.live) == (0, 2)
    pool.update([record(2)])
    draw(pool, 1)
    assert (pool.resets, pool.live) == (1, 4)


def test_a_phased_pool_cannot_grow():
    pool = PhasedPool(history_of(4), [Phase(2, np.arange(4))])
    for refused in (pool.grown, partial(GrowingPool, pool)):
        with pytest.raises(ValueError, match=r"phased pool cannot grow.*use a cycling"):
            refused()


# -- a growing pool ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"replay": True}, {"replay": True, "reset_every": 3}])
@pytest.mark.parametrize("kind", POOLS)
def test_every_combination_conforms(kind, options):
    check_pool(lambda history: GrowingPool(POOLS[kind](history), **options))


@pytest.mark.parametrize("kind", POOLS)
def test_only_a_growing_pool_grows_and_it_asks_the_inner_one_what_it_does_not_know(kind):
    inner = POOLS[kind](history_of(2))
    pool = GrowingPool(inner, replay=True)
    assert (inner.grows, pool.grows) == (False, True)
    assert (pool.no_signal, pool.group_size, pool.finished) == (inner.no_signal, None, None)
    assert GrowingPool(inner).no_signal is Fate.RETIRED
    assert set(pool.metrics()) == {"pool/fresh", "pool/replayed", *inner.metrics()}


def test_new_prompts_are_drawn_in_the_order_they_came_and_once():
    pool = empty()
    assert draw(pool, 3) == []
    assert pool.add(["b", "a", "d"]).tolist() == [0, 1, 2]
    assert (draw(pool, 2), pool.live) == ([0, 1], 1)
    assert pool.add(["c"]).tolist() == [3]
    assert (draw(pool, 1, in_flight={0, 1, 2}), draw(pool, 9), draw(pool, 9)) == ([3], [2], [])
    assert (pool.live, pool.resets, len(pool.history)) == (0, 0, 4)
    assert [pool.history.ids[row] for row in range(4)] == ["b", "a", "d", "c"]


def test_prompts_that_the_history_has_already_are_the_first():
    pool = GrowingPool(CyclingPool(history_of(2)))
    pool.add(["new"])
    assert (draw(pool, 2), draw(pool, 2)) == ([0, 1], [2])


def test_replay_by_hand_over_a_pool_that_cycles():
    pool = empty(CyclingPool, replay=True)
    pool.add(["a", "b", "c"])
    assert (draw(pool, 5), pool.resets, pool.live) == ([0, 1, 2], 0, 0)  # nothing else to draw, so nothing is reset
    pool.update([])
    pool.add(["d"])
    assert pool.live == 1
    fresh, *replayed = draw(pool, 3)
    assert fresh == 3
    assert set(replayed) < {0, 1, 2}
    assert (pool.resets, pool.live) == (1, 1)  # the fresh one and both others count for the epoch that began
    pool.update([])
    assert pool.metrics() == {"pool/fresh": 0, "pool/replayed": 2}
    (last,) = {0, 1, 2} - set(replayed)
    assert (draw(pool, 1), pool.resets, pool.live) == ([last], 1, 0)


@pytest.mark.parametrize("kind", POOLS)
def test_removed_prompts_leave_a_growing_pool_for_good(kind):
    pool = empty(POOLS[kind], replay=True)
    pool.add(names(0, 6))
    assert draw(pool, 4) == [0, 1, 2, 3]
    pool.remove([1, 5])
    pool.remove([])
    state = pool.state_dict()
    other = empty(POOLS[kind], replay=True)
    other.restore_ids(names(0, 6))
    other.history.load_state_dict(pool.history.state_dict())
    other.load_state_dict(state)
    for one in (pool, other):
        one.remove([3])
        assert draw(one, 1) == [4], "the only fresh one"
        one.add(["new"])
        seen = set()
        for seed in range(20):
            rows = draw(one, 3, seed)
            seen |= set(rows)
            one.update([record(row) for row in rows])
        assert seen == {0, 2, 4, 6}


def test_replay_leaves_out_what_is_in_flight():
    pool = empty(CyclingPool, replay=True)
    pool.add(names(0, 4))
    draw(pool, 4)
    assert draw(pool, 4, in_flight={0, 1, 2, 3}) == []
    assert pool.resets == 0
    assert sorted(draw(pool, 4, in_flight={0, 2})) == [1, 3]


def test_recycled_prompts_are_replayed_and_those_with_signal_are_not():
    pool = empty(RecyclingPool, replay=True)
    pool.add(names(0, 4))
    assert draw(pool, 4) == [0, 1, 2, 3]
    pool.update([record(row, fate) for row, fate in enumerate([Fate.TRAINED, Fate.RECYCLED, Fate.EXCESS])])
    pool.add(["new"])
    fresh, *replayed = draw(pool, 9)
    assert (fresh, sorted(replayed), pool.live) == (4, [1, 2, 3], 4)


def test_the_prompt_of_most_worth_is_replayed_first():
    """Single rollouts of which 0, 1, 2, 3 and 4 in 4 are right: the spread is largest at 2."""
    pool = empty(partial(PrioritizedPool, priority=uncertainty(0.0), select="best"), replay=True)
    pool.add(names(0, 5))
    for row in draw(pool, 5):
        visit(pool.history, row, row)
    pool.add(["new"])
    assert draw(pool, 2) == [5, 2]
    assert set(draw(pool, 3, in_flight={5})) == {1, 2, 3}


def test_prompts_without_signal_are_skipped_when_they_are_replayed_and_never_when_they_are_fresh():
    pool = empty(partial(SelectivePool, explore=0.0), replay=True)
    pool.add(names(0, 40))
    for row in draw(pool, 40):
        for _ in range(60):
            visit(pool.history, row, 0 if row % 2 else 2)
    pool.add(["new"])
    fresh, *replayed = draw(pool, 41)
    assert (fresh, {row % 2 for row in replayed}, len(replayed)) == (40, {0}, 20)
    pool.update([])
    assert pool.metrics()["pool/skipped"] == 20
    assert pool.metrics()["pool/replayed"] == 20


def test_a_reset_by_hand():
    """After every second step the prompts drawn before are removed, and only those."""
    pool = empty(CyclingPool, replay=True, reset_every=2)
    pool.add(["a", "b", "c", "d"])
    assert draw(pool, 2) == [0, 1]
    pool.update([])
    assert draw(pool, 1) == [2]
    pool.update([])
    assert (pool.live, pool.history.weight.tolist()) == (1, [0, 0, 0, 1])
    assert (draw(pool, 3), draw(pool, 3, in_flight={3})) == ([3], [])
    pool.update([])
    pool.add(["e"])
    assert [draw(pool, 3), draw(pool, 3, in_flight={4})] == [[4, 3], [3]]
    pool.update([])
    assert (draw(pool, 3), pool.live) == ([], 0)


@pytest.mark.parametrize("options", [{}, {"replay": True, "reset_every": 1}])
def test_an_id_is_added_once_ever(options):
    pool = empty(**options)
    pool.add(["a", "b"])
    draw(pool, 2)
    pool.update([])
    for ids in (["a"], ["c", "b"], ["c", "c"]):
        with pytest.raises(ValueError, match="in the pool already"):
            pool.add(ids)
    assert (len(pool.history), pool.metrics()["pool/fresh"]) == (2, 0)
    assert pool.add(["c"]).tolist() == [2]
    assert draw(pool, 3)[0] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replay": True, "reset_every": 0}, "reset_every = 0 steps; give at least 1"),
        ({"reset_every": 10}, "reset_every = 10 has no effect without replay"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        empty(**options)


def test_the_kit_finds_a_pool_without_grows():
    class Silent(RecyclingPool):
        grows = None  # type: ignore[assignment]

    with pytest.raises(AssertionError, match="grows must be a bool"):
        check_pool(Silent)  # type: ignore[arg-type]


steps_of_runs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(POOLS)),
    replay=st.booleans(),
    reset_every=st.sampled_from([None, 1, 2, 3]),
    steps=steps_of_runs,
    seed=st.integers(0, 1000),
)
def test_a_pool_restored_at_any_step_goes_on_as_the_one_that_was_not(kind, replay, reset_every, steps, seed):
    """Fresh ones first and each in one draw only, nothing in flight, nothing that left; (new, drawn, restarted)."""

    def build():
        return empty(POOLS[kind], replay=replay, reset_every=reset_every if replay else None)

    whole, restarted = build(), build()
    ids, drawn_before, left, in_flight = [], set(), set(), set()
    for step, (new, count, restarts) in enumerate(steps):
        added = names(len(ids), len(ids) + new)
        ids += added
        for pool in (whole, restarted):
            pool.add(added)
        rows, again = (draw(pool, count, seed + step, in_flight) for pool in (whole, restarted))
        assert rows == again
        expected = [row for row in range(len(ids)) if row not in drawn_before][:count]
        assert rows[: len(expected)] == expected
        assert len(set(rows)) == len(rows) <= count
        assert not set(rows) & (left | in_flight)
        if not replay:
            assert rows == expected
        drawn_before |= set(rows)
        for pool in (whole, restarted):
            tell(pool, rows, seed)
        if replay and reset_every and (step + 1) % reset_every == 0:
            left = set(drawn_before)
        in_flight = set(rows[:1])
        if restarts:
            restarted = restore(build(), restarted, ids)
        assert restarted.metrics() == whole.metrics()
        assert (restarted.live, restarted.resets) == (whole.live, whole.resets)
        assert np.array_equal(restarted.history.weight, whole.history.weight)


def tell(pool, rows, seed):
    told = [(row, visit(pool.history, row, (row * 7 + seed) % 5)) for row in rows]
    fates = {Outcome.MIXED: Fate.TRAINED}
    pool.update([record(row, fates.get(outcome, pool.no_signal), outcome) for row, outcome in told])


def restore(new, old, ids):
    new.restore_ids(ids)
    new.history.load_state_dict(through_checkpoint(old.history.state_dict()))
    new.load_state_dict(through_checkpoint(old.state_dict()))
    return new
