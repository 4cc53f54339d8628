from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import history_of, record

from rekindle.scheduling.pools import CyclingPool, Phase, PhasedPool
from rekindle.testing import check_pool
from rekindle.types import Fate, UserError

HUGE = 10**9


def phases(*sizes_and_rows):
    return [Phase(size, np.array(list(rows))) for size, rows in sizes_and_rows]


EASY_TO_HARD = phases((2, range(12)), (4, range(8, 25)), (8, [3, *range(30, 40)]))


def step(pool, count, reward=0.0, seed=0):
    """Draw and finish one step in which every rollout earns ``reward``; the rows drawn."""
    rows = pool.draw(count, np.random.default_rng(seed)).tolist()
    n = pool.group_size
    pool.update([record(row, n=n, reward_sum=reward * n) for row in rows])
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_epochs": 3, "repeats": 1},
        {"patience": 2},
        {"repeats": 1, "after_last": "stop"},
        {"after_last": "stop"},
        {"reprofile": lambda history: EASY_TO_HARD},
    ],
)
def test_every_setting_conforms(options):
    check_pool(partial(PhasedPool, phases=EASY_TO_HARD, **options))


@settings(max_examples=40, deadline=None)
@given(prompts=st.integers(1, 40), counts=st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_one_phase_of_all_prompts_is_cycling_bit_for_bit(prompts, counts):
    plain = CyclingPool(history_of(prompts))
    pool = PhasedPool(history_of(prompts), phases((4, range(prompts))), max_epochs=HUGE)
    for seed, count in enumerate(counts):
        in_flight = set(range(seed % 3)) & set(range(prompts))
        rows = [one.draw(count, np.random.default_rng(seed), in_flight).tolist() for one in (pool, plain)]
        assert rows[0] == rows[1]
        pool.update([record(row) for row in rows[0]])
        assert (pool.live, pool.resets) == (plain.live, plain.resets)


def test_the_papers_curriculum_by_hand():
    """One epoch per phase and all phases twice, at 2 prompts a step: 4, 2 and 3 prompts take 2, 1 and 2 steps."""
    easy, middle, hard = [0, 1, 2, 3], [3, 4], [3, 5, 6]
    pool = PhasedPool(history_of(7), phases((2, easy), (4, middle), (8, hard)), after_last="stop")
    sizes, passes, drawn = [], [], []
    for seed in range(10):
        sizes.append(pool.group_size)
        passes.append(pool.metrics()["pool/pass"])
        drawn.append(step(pool, 2, seed=seed))
    assert sizes == [2, 2, 4, 8, 8, 2, 2, 4, 8, 8]
    assert passes == [1] * 5 + [2] * 5
    for first in (0, 5):
        assert sorted(drawn[first] + drawn[first + 1]) == easy, "an epoch has every prompt once"
        assert sorted(drawn[first + 2]) == middle
        assert set(drawn[first + 3] + drawn[first + 4]) == set(hard), "the last step is filled up from the phase"
    assert step(pool, 2) == []
    assert pool.finished is not None


def test_rewards_do_not_end_a_phase_without_a_patience():
    pool = PhasedPool(history_of(9), phases((2, range(8)), (4, [8])), max_epochs=20)
    for seed in range(79):
        step(pool, 2, reward=0.0, seed=seed)
    assert pool.group_size == 2
    step(pool, 2, seed=79)
    assert pool.group_size == 4


def test_another_pass_has_the_sizes_that_the_run_saw_where_it_profiles_again():
    """In the next pass every size may change, the smaller ones too."""
    seen = iter([phases((2, [0])), phases((4, [1, 2]))])
    planned = phases((2, range(4)), (8, range(8)))
    pool = PhasedPool(history_of(8), planned, repeats=3, reprofile=lambda history: next(seen), after_last="stop")
    # Seen after the first phase, no larger size is left in this pass; the next one has [0] at size 2, and nothing more.
    table = [(pool.metrics()["pool/pass"], pool.group_size, sorted(step(pool, 4, seed=seed))) for seed in range(3)]
    assert table == [(1, 2, [0, 1, 2, 3]), (2, 2, [0]), (3, 4, [1, 2])]
    assert "the last of 1 phases is over, in pass 3 of 3" in str(pool.finished)


def test_a_curriculum_ends_where_the_run_saw_nothing_left_to_learn():
    pool = PhasedPool(history_of(4), phases((2, range(4))), reprofile=lambda history: [], after_last="stop")
    assert len(step(pool, 4)) == 4
    assert "in pass 1 of 2" in str(pool.finished)


def test_phases_follow_one_another_after_their_epochs_and_the_last_goes_on():
    pool = PhasedPool(history_of(10), phases((2, range(4)), (8, range(3, 9))), max_epochs=2, repeats=1)
    table = []
    for seed in range(9):
        size, metrics = pool.group_size, pool.metrics()
        rows = set(step(pool, 2, seed=seed))
        assert rows <= (set(range(4)) if size == 2 else set(range(3, 9)))
        table.append((size, metrics["pool/phase"], pool.metrics()["pool/epoch"], pool.live))
    first = [(2, 1, 1, 2), (2, 1, 1, 0), (2, 1, 2, 2), (2, 1, 1, 6)]
    assert table == [*first, (8, 2, 1, 4), (8, 2, 1, 2), (8, 2, 1, 0), (8, 2, 2, 4), (8, 2, 2, 2)]
    for seed in range(20):
        assert len(step(pool, 5, seed=seed)) == 5
    assert (pool.group_size, pool.finished) == (8, None)


def test_every_prompt_of_a_phase_is_drawn_once_per_epoch_and_no_other():
    pool = PhasedPool(history_of(20), phases((4, [1, 5, 6, 7, 13, 19])), max_epochs=HUGE)
    for epoch in range(3):
        rows = [row for seed in range(3) for row in step(pool, 2, seed=10 * epoch + seed)]
        assert sorted(rows) == [1, 5, 6, 7, 13, 19]


def test_a_phase_smaller_than_a_step_counts_its_passes():
    pool = PhasedPool(history_of(9), phases((2, [0, 1, 2]), (4, range(9))), max_epochs=3)
    assert [len(step(pool, 8, seed=seed)) for seed in range(4)] == [3, 3, 3, 8]


def test_a_phase_changes_between_steps_never_inside_one():
    pool = PhasedPool(history_of(20), phases((2, range(4)), (8, range(4, 20))), repeats=1)
    rng = np.random.default_rng(0)
    drawn = [set(pool.draw(3, rng).tolist()) for _ in range(4)]
    assert all(rows <= set(range(4)) and len(rows) == 3 for rows in drawn)
    assert pool.group_size == 2
    pool.update([])
    assert (pool.group_size, pool.live) == (8, 16)


def test_convergence_by_hand():
    """Smoothed with weight 1/2; a gain is 1/4 over the best; two steps without one end the phase."""
    options: dict[str, Any] = {"max_epochs": HUGE, "patience": 2, "min_gain": 0.25, "smoothing": 0.5}
    pool = PhasedPool(history_of(8), phases((2, range(8)), (4, range(8))), **options)
    table = []
    for reward in (0.0, 0.5, 0.5, 0.75, 0.0):
        step(pool, 2, reward)
        table.append((pool.metrics().get("pool/smoothed_reward"), pool.group_size))
    # best: 0, then 0.25; 0.375 and 0.5625 (a gain: new best), 0.28125 is the first step without one
    assert table == [(0.0, 2), (0.25, 2), (0.375, 2), (0.5625, 2), (0.28125, 2)]
    step(pool, 2, 0.5)
    assert pool.group_size == 4
    assert "pool/smoothed_reward" not in pool.metrics()
    step(pool, 2, 0.125)
    assert pool.metrics()["pool/smoothed_reward"] == 0.125


def test_the_reward_of_a_step_is_a_mean_over_rollouts_of_graded_groups():
    pool = PhasedPool(history_of(8), phases((2, range(8))), smoothing=1.0)
    failed = record(3, Fate.FAILED, outcome=None, n=100)
    pool.update([record(0, n=2, reward_sum=2), record(1, n=6, reward_sum=0), failed])
    assert pool.metrics()["pool/smoothed_reward"] == 0.25
    pool.update([failed])
    assert pool.metrics()["pool/smoothed_reward"] == 0.25


def test_after_the_last_phase_a_run_can_stop_with_a_sentence():
    pool = PhasedPool(history_of(8), phases((2, range(4)), (4, range(8))), repeats=1, after_last="stop")
    drawn = [len(step(pool, 4, seed=seed)) for seed in range(3)]
    assert drawn == [4, 4, 4]
    assert pool.finished is not None
    assert "the last of 2 phases is over, in pass 1 of 1; raise repeats or max_epochs of the phases" in pool.finished
    assert step(pool, 4) == []


def test_later_phases_are_rebuilt_from_what_the_run_saw():
    seen = []

    def reprofile(history):
        seen.append(history)
        return phases((2, range(8)), (4, [5]), (16, [6, 7])) if len(seen) == 1 else phases((4, [1]))

    planned = phases((2, range(4)), (8, range(8)))
    pool = PhasedPool(history_of(8), planned, repeats=1, reprofile=reprofile)
    table = [(pool.group_size, sorted(step(pool, 4, seed=seed))) for seed in range(5)]
    assert table[:2] == [(2, [0, 1, 2, 3]), (4, [5])]
    # Seen again, nothing is larger than 4: the phase of 4 has become the last one, and goes on.
    assert table[2:] == [(4, [5])] * 3
    assert seen == [pool.history] * 2


def test_the_state_carries_rebuilt_phases_and_the_smoothed_reward():
    def make(reprofile):
        return PhasedPool(
            history_of(8), phases((2, range(4)), (8, range(8))), repeats=1, patience=3, reprofile=reprofile
        )

    pool, other = make(lambda history: phases((4, [5, 6, 7]), (8, [0, 1]))), make(None)
    for seed in range(2):
        step(pool, 2, 0.1 * seed, seed)
    step(pool, 1, 0.5)
    other.history.load_state_dict(pool.history.state_dict())
    other.load_state_dict(pool.state_dict())
    for seed in range(6):
        assert (other.group_size, other.live, other.metrics()) == (pool.group_size, pool.live, pool.metrics())
        assert step(other, 2, 0.5, seed) == step(pool, 2, 0.5, seed)


@pytest.mark.parametrize(
    ("given_phases", "options", "message"),
    [
        ([], {}, "a phased pool has no phases; make a profile"),
        (phases((2, range(4)), (4, [])), {}, r"phase 2 \(group size 4\) has no prompts; leave it out"),
        (phases((0, range(4))), {}, "phase 1 has group size 0"),
        (phases((2, [1, 1])), {}, r"phase 1 \(group size 2\) names a prompt twice"),
        (phases((2, [8])), {}, "one that the pool of 8 prompts lacks"),
        (phases((2, [0])), {"max_epochs": 0}, r"max_epochs = 0 is outside \[1, inf\); give at least 1"),
        (phases((2, [0])), {"repeats": 0}, r"repeats = 0 is outside \[1, inf\); give at least 1"),
        (phases((2, [0])), {"patience": 0}, r"patience = 0 is outside \[1, inf\); give at least 1, or None"),
        (phases((2, [0])), {"smoothing": 0.0}, r"smoothing = 0\.0 is outside"),
    ],
)
def test_phases_that_cannot_be_are_refused(given_phases, options, message):
    with pytest.raises(UserError, match=message):
        PhasedPool(history_of(8), given_phases, **options)
