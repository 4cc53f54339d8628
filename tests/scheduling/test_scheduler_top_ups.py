"""Groups that are topped up inside a step: SPEED's screening and Reinforce-Ada's rounds."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling_cases import POOLS, through_checkpoint

from rekindle import Fate, History, Outcome, Rollout, Scheduler
from rekindle.scheduling import gates, group_sizes
from rekindle.scheduling.group_records import step_counts
from rekindle.scheduling.pools import CyclingPool, RecyclingPool
from rekindle.scheduling.refills import Refill
from rekindle.scheduling.top_ups import continue_mixed, until_balanced
from rekindle.testing import SimulatedPolicy

SPEED = continue_mixed(20)
ADA = until_balanced(size=4, round_size=4, max_rounds=3)


def make(top_up, pool=CyclingPool, prompts=24, **settings):
    history = History(f"t{row}" for row in range(prompts))
    return Scheduler(pool(history), **{"groups_per_step": 4, "top_up": top_up} | settings)


def rollouts(*rewards):
    return [
        Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=reward) for reward in rewards
    ]


def spread(seed, prompts=24):
    return SimulatedPolicy(np.random.default_rng(seed).beta(0.5, 0.5, prompts))


def play(scheduler, policy, steps, order=list, fails=lambda request: False):
    """Whole steps; returns every request asked, and of each step its groups and its records."""
    asked, seen = [], []
    for _ in range(steps):
        while (groups := scheduler.take()) is None:
            requests = list(iter(scheduler.ask, None))
            assert requests, "a step must end"
            asked += requests
            for request in order(requests):
                scheduler.tell(request.id, None if fails(request) else policy.play(request))
        scheduler.advance(scheduler.version + 1)
        seen.append((groups, scheduler.drain_records()))
    return asked, seen


def test_speed_screens_with_four_and_goes_on_with_twenty_where_they_disagree():
    scheduler = make(SPEED)
    screening = list(iter(scheduler.ask, None))
    assert [request.n for request in screening] == [4] * 4
    rewards = [(1, 0, 0, 0), (1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 1, 1)]
    fates = [scheduler.tell(one.id, rollouts(*row)) for one, row in zip(screening, rewards, strict=True)]
    assert fates == [Fate.TRAINED, Fate.RETIRED, Fate.RETIRED, Fate.TRAINED]
    assert scheduler.take() is None

    more = list(iter(scheduler.ask, None))
    assert [(one.id, one.row, one.n, one.step) for one in more] == [
        (4, screening[0].row, 20, 1),
        (5, screening[3].row, 20, 1),
    ]
    assert len({one.seed for one in (*screening, *more)}) == 6
    for one in more:
        scheduler.tell(one.id, rollouts(*[1.0] * 20))
    assert scheduler.ask() is None

    groups = scheduler.take()
    assert [group.rewards for group in groups] == [[1, 0, 0, 0] + [1] * 20, [0, 1, 1, 1] + [1] * 20]
    assert [group.topped_up for group in groups] == [(more[0],), (more[1],)]
    assert [[len(part) for _, part in group.parts()] for group in groups] == [[4, 20], [4, 20]]
    records = scheduler.drain_records()
    assert [(one.request.id, one.successes, one.fate, one.outcome) for one in records] == [
        (0, 1, Fate.TRAINED, Outcome.MIXED),
        (1, 4, Fate.RETIRED, Outcome.ALL_CORRECT),
        (2, 0, Fate.RETIRED, Outcome.ALL_WRONG),
        (3, 3, Fate.TRAINED, Outcome.MIXED),
        (4, 20, Fate.TRAINED, Outcome.MIXED),
        (5, 20, Fate.TRAINED, Outcome.MIXED),
    ]
    history, row = scheduler.history, screening[0].row
    assert (history.visits[row], history.attempts[row], history.successes[row]) == (1, 24, 21)


def test_reinforce_ada_plays_rounds_until_balanced_or_the_bound():
    scheduler = make(ADA, prompts=4, gate=gates.everything)
    answers = {0: [0, 0, 0, 0], 1: [1, 1, 0, 0], 2: [1, 0, 0, 0], 3: [1, 1, 1, 1]}
    rounds = []
    while (groups := scheduler.take()) is None:
        requests = list(iter(scheduler.ask, None))
        rounds.append({request.row for request in requests})
        for request in requests:
            scheduler.tell(request.id, rollouts(*answers[request.row]))
    assert rounds == [{0, 1, 2, 3}, {0, 2, 3}, {0, 3}]
    assert {group.request.row: len(group.rollouts) for group in groups} == {0: 12, 1: 4, 2: 8, 3: 12}
    assert {group.request.row: len(group.topped_up) for group in groups} == {0: 2, 1: 0, 2: 1, 3: 2}
    assert step_counts(scheduler.drain_records())["rollouts"] == 36


def test_a_group_unanimous_in_its_first_round_may_still_get_signal():
    scheduler = make(ADA, prompts=4, groups_per_step=1)
    assert scheduler.tell(scheduler.ask().id, rollouts(0, 0, 0, 0)) is Fate.RETIRED
    assert scheduler.tell(scheduler.ask().id, rollouts(0, 1, 0, 1)) is Fate.TRAINED
    (group,) = scheduler.take()
    assert group.outcome is Outcome.MIXED
    assert {one.outcome for one in scheduler.drain_records()} == {Outcome.MIXED}


@pytest.mark.parametrize(("top_up", "first"), [(SPEED, (1, 0, 0, 0)), (ADA, (1, 0, 0, 0)), (ADA, (0, 0, 0, 0))])
def test_a_failed_top_up_keeps_what_was_sampled_before(top_up, first):
    scheduler = make(top_up, groups_per_step=1, gate=gates.everything)
    screening = scheduler.ask()
    scheduler.tell(screening.id, rollouts(*first))
    more = scheduler.ask()
    assert scheduler.tell(more.id, None) is Fate.FAILED
    (group,) = scheduler.take()
    assert (group.rewards, group.topped_up) == (list(first), ())
    records = scheduler.drain_records()
    assert [(one.request, one.fate) for one in records] == [(screening, Fate.TRAINED), (more, Fate.FAILED)]
    assert scheduler.history.attempts[screening.row] == 4


def test_a_failed_first_round_is_not_topped_up():
    scheduler = make(SPEED, groups_per_step=1)
    scheduler.tell(scheduler.ask().id, None)
    assert scheduler.take() == []
    assert [one.fate for one in scheduler.drain_records()] == [Fate.FAILED]


def test_a_round_is_asked_only_when_the_one_before_is_told():
    scheduler = make(SPEED, groups_per_step=2)
    first, second = scheduler.ask(), scheduler.ask()
    scheduler.tell(second.id, rollouts(1, 0, 0, 0))
    assert (scheduler.ask(), scheduler.waiting) == (None, "capacity")
    scheduler.tell(first.id, rollouts(1, 0, 0, 0))
    assert [request.row for request in iter(scheduler.ask, None)] == [first.row, second.row]


def test_topped_up_groups_are_excess_as_a_whole():
    scheduler = make(SPEED, RecyclingPool, groups_per_step=1, oversample=2)
    for request in [scheduler.ask(), scheduler.ask()]:
        scheduler.tell(request.id, rollouts(1, 0, 0, 0))
    for request in [scheduler.ask(), scheduler.ask()]:
        scheduler.tell(request.id, rollouts(*[1] * 20))
    (group,) = scheduler.take()
    fates = {one.request.id: one.fate for one in scheduler.drain_records()}
    assert set(fates.values()) == {Fate.TRAINED, Fate.EXCESS}
    assert fates[0] is fates[2]
    assert fates[1] is fates[3]
    assert scheduler.history.weight[group.request.row] == 0
    assert scheduler.pool.live == 23


settings_of_runs = {
    "seed": st.integers(0, 10_000),
    "top_up": st.sampled_from([SPEED, ADA]),
    "pool": st.sampled_from([CyclingPool, partial(RecyclingPool, reset_below=0.2)]),
    "gate": st.sampled_from([gates.has_signal, gates.everything]),
    "refill": st.sampled_from([None, Refill(2)]),
    "fail": st.integers(2, 12),
}


@given(**settings_of_runs)
def test_every_request_ends_in_one_row_and_the_order_of_tells_changes_nothing(seed, top_up, pool, gate, refill, fail):
    shuffled, runs = np.random.default_rng(seed), []
    orders = (list, lambda them: them[::-1], lambda them: [them[i] for i in shuffled.permutation(len(them))])
    for order in orders:
        scheduler = make(top_up, pool, seed=seed, gate=gate, refill=refill)
        runs.append(play(scheduler, spread(seed), 4, order, lambda request: request.id % fail == 0))
    assert runs[0] == runs[1] == runs[2]
    asked, seen = runs[0]
    records = [one for _, rows in seen for one in rows]
    assert [one.request for one in records] == sorted(asked, key=by_id)
    counts = step_counts(records)
    assert counts["rollouts"] == sum(request.n for request in asked)
    assert sum(counts[f"groups/{fate}"] for fate in Fate) == counts["groups/asked"] == len(asked)
    for groups, rows in seen:
        trained = [one.request.id for one in rows if one.fate is Fate.TRAINED]
        assert trained == sorted(part.id for group in groups for part, _ in group.parts())
        for group in groups:
            assert sum(part.n for part, _ in group.parts()) == len(group.rollouts)
            assert len({part.row for part, _ in group.parts()}) == 1


@given(
    lag=st.integers(1, 2),
    pool=st.sampled_from(list(POOLS.values())),
    **{name: strategy for name, strategy in settings_of_runs.items() if name != "pool"},
)
def test_the_order_of_tells_changes_nothing_with_steps_in_flight(seed, top_up, pool, gate, refill, fail, lag):
    shuffled, runs = np.random.default_rng(seed), []
    orders = (list, lambda them: them[::-1], lambda them: [them[i] for i in shuffled.permutation(len(them))])
    for order in orders:
        scheduler = make(top_up, pool, seed=seed, gate=gate, refill=refill, max_off_policy_steps=lag)
        runs.append(play(scheduler, spread(seed), 4, order, lambda request: request.id % fail == 0))
    assert runs[0] == runs[1] == runs[2]


def test_the_order_of_tells_across_steps_in_flight_changes_no_id_and_no_seed():
    """Two steps of one prompt each, told forwards and backwards; both are topped up."""

    def asked_again(order):
        scheduler = Scheduler(
            CyclingPool(History(["a", "b"])),
            groups_per_step=1,
            group_size=group_sizes.fixed(2),
            top_up=ADA,
            max_off_policy_steps=1,
        )
        for request in order([scheduler.ask(), scheduler.ask()]):
            scheduler.tell(request.id, rollouts(*[1] * request.n))
        return [(one.task_id, one.id, one.seed, one.step) for one in iter(scheduler.ask, None)]

    forwards, backwards = asked_again(list), asked_again(reversed)
    assert len(forwards) == 2
    assert forwards == backwards


def by_id(request):
    return request.id


def tell_some(scheduler, policy, count):
    """Tell up to this many requests of a step, round after round; returns those that are left open."""
    left = list(iter(scheduler.ask, None))
    for _ in range(count):
        left = left or list(iter(scheduler.ask, None))
        if left:
            request = left.pop(0)
            scheduler.tell(request.id, policy.play(request))
    return left


@given(seed=st.integers(0, 1000), top_up=st.sampled_from([SPEED, ADA]), told=st.integers(0, 12), lag=st.integers(0, 1))
def test_a_scheduler_saved_in_the_middle_of_a_top_up_goes_on_exactly(seed, top_up, told, lag):
    """Saved as in a checkpoint when some screenings are told, or all of them and some of the further requests."""
    policy = spread(seed)
    original, restored = (make(top_up, seed=seed, max_off_policy_steps=lag) for _ in range(2))
    play(original, policy, 2)
    left = tell_some(original, policy, told)
    state = original.state_dict()
    restored.load_state_dict(through_checkpoint(state))
    again = list(iter(restored.ask, None))
    assert sorted(again, key=by_id) == sorted([*left, *iter(original.ask, None)], key=by_id)
    results = []
    for scheduler in (original, restored):
        for request in again:
            scheduler.tell(request.id, policy.play(request))
        results.append(play(scheduler, policy, 3))
    assert results[0] == results[1]
