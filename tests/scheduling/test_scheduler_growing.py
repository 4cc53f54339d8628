"""The scheduler over a pool that grows: steps without prompts, growth between steps, restarts, conservation."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scheduling_cases import POOLS, through_checkpoint

from rekindle import Fate, History, Rollout, Scheduler
from rekindle.scheduling import gates, group_sizes, temperatures
from rekindle.scheduling.group_records import step_counts
from rekindle.scheduling.pools import CyclingPool, GrowingPool, RecyclingPool
from rekindle.scheduling.refills import Refill
from rekindle.scheduling.top_ups import continue_mixed
from rekindle.testing import SimulatedPolicy

POLICY = SimulatedPolicy(np.random.default_rng(0).beta(0.5, 0.5, 5000))


def growing(inner=RecyclingPool, replay=True, reset_every=None, **settings):
    pool = GrowingPool(inner(History([], growing=True)), replay=replay, reset_every=reset_every)
    return Scheduler(pool, **{"groups_per_step": 4} | settings)


def names(first, last):
    return [f"question/{number}" for number in range(first, last)]


def rollouts(*rewards):
    return [
        Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=reward) for reward in rewards
    ]


def by_id(request):
    return request.id


def play_step(scheduler, order=list, policy=POLICY):
    """A whole step: its requests, its groups and its records. It ends, also without any request."""
    asked = []
    while requests := list(iter(scheduler.ask, None)):
        asked += requests
        for request in order(requests):
            scheduler.tell(request.id, policy.play(request))
    groups = scheduler.take()
    scheduler.advance(scheduler.version + 1)
    return asked, groups, scheduler.drain_records()


# -- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replay", [True, False])
def test_a_step_that_finds_no_prompts_is_a_step_without_groups(replay):
    scheduler = growing(replay=replay)
    for version in (1, 2):
        assert scheduler.take() is None
        assert (scheduler.ask(), scheduler.ask(), scheduler.waiting) == (None, None, "capacity")
        assert (scheduler.take(), scheduler.take(), scheduler.stopped) == ([], None, None)
        assert scheduler.ask() is None
        scheduler.advance(version)
    assert scheduler.drain_records() == []
    scheduler.pool.add(["a"])
    request = scheduler.ask()
    assert (request.id, request.row, request.task_id, request.step, request.version) == (0, 0, "a", 3, 2)
    assert scheduler.tell(request.id, rollouts(1, 0, 0, 0)) is Fate.TRAINED
    assert [group.request for group in scheduler.take()] == [request]


def test_a_pool_that_does_not_grow_is_exhausted_as_before():
    scheduler = Scheduler(RecyclingPool(History(["a"]), on_empty="stop"), groups_per_step=1)
    request = scheduler.ask()
    assert request is not None
    scheduler.tell(request.id, rollouts(1, 0, 0, 0))
    scheduler.take()
    scheduler.advance(1)
    assert (scheduler.ask(), scheduler.waiting, scheduler.take()) == (None, "exhausted", None)
    assert scheduler.stopped is not None
    assert "no eligible prompt left" in scheduler.stopped


def test_a_growing_pool_that_has_ended_the_run_ends_it():
    class Ended(GrowingPool):
        finished = "enough was learned"

    scheduler = Scheduler(Ended(CyclingPool(History([], growing=True))), groups_per_step=1)
    assert (scheduler.ask(), scheduler.waiting, scheduler.stopped) == (None, "exhausted", "enough was learned")


def test_no_step_is_wasted_while_another_is_in_flight():
    """One step ahead of the updates: the second step waits for its prompts instead of being empty."""
    scheduler = growing(replay=False, max_off_policy_steps=1)
    scheduler.pool.add(names(0, 2))
    requests = [scheduler.ask(), scheduler.ask()]
    assert (scheduler.ask(), scheduler.waiting) == (None, "capacity")
    scheduler.pool.add(names(2, 3))
    requests.append(scheduler.ask())
    assert [(one.row, one.step) for one in requests] == [(0, 1), (1, 1), (2, 2)]
    for request in reversed(requests):
        scheduler.tell(request.id, rollouts(1, 0, 0, 0))
    assert [len(scheduler.take()), len(scheduler.take()), scheduler.take()] == [2, 1, None]
    scheduler.advance(1)
    assert (scheduler.ask(), scheduler.take()) == (None, [])


def test_a_refill_that_finds_no_prompts_ends_the_step_and_not_the_run():
    scheduler = growing(CyclingPool, replay=False, groups_per_step=2, refill=Refill(2, "stop"))
    scheduler.pool.add(names(0, 3))
    for expected in ([0, 1], [2]):
        requests = list(iter(scheduler.ask, None))
        assert [one.row for one in requests] == expected
        for one in requests:
            scheduler.tell(one.id, rollouts(0, 0, 0, 0))
    assert (scheduler.take(), scheduler.stopped) == ([], None)
    scheduler.advance(1)
    scheduler.pool.add(names(3, 20))
    asked, groups, records = play_step(scheduler, policy=SimulatedPolicy(np.zeros(20)))
    assert (len(asked), groups, {one.fate for one in records}) == (6, [], {Fate.RETIRED})
    assert "step 2 found 0 of 2 groups with signal in 3 rounds" in scheduler.stopped


def test_a_fixed_opponent_plays_everything_and_learns_nothing():
    for inner, fate in ((RecyclingPool, Fate.RECYCLED), (CyclingPool, Fate.RETIRED)):
        scheduler = growing(inner, gate=gates.nothing)
        scheduler.pool.add(names(0, 4))
        asked, groups, records = play_step(scheduler)
        assert ([one.row for one in asked], groups, {one.fate for one in records}) == ([0, 1, 2, 3], [], {fate})
        assert scheduler.history.attempts.tolist() == [4] * 4


def test_temperatures_and_sizes_follow_a_prompt_through_growth():
    """Prior 1/2: size 2. Solved, p = 4.5/5: size 2 and hotter; failed, p = 0.5/3: floor(log2 6) = 2, size 4."""
    scheduler = growing(
        partial(RecyclingPool),
        group_size=group_sizes.inverse_success(2, 8),
        temperature=temperatures.residual_heating(1.0, 0.05, 1.2),
    )
    answers = {"solved": 1.0, "failed": 0.0}
    scheduler.pool.add(["solved", "failed"])
    seen = []
    for step in range(4):
        requests = {request.task_id: request for request in iter(scheduler.ask, None)}
        seen.append({name: (one.n, one.temperature) for name, one in requests.items()})
        for name, one in requests.items():
            scheduler.tell(one.id, rollouts(*[answers.get(name, 0.0)] * one.n))
        assert scheduler.take() == []
        scheduler.advance(step + 1)
        scheduler.pool.add([f"new {step}"])
    assert [one["solved"] for one in seen] == [(2, 1.0), (2, 1.05), (2, 1.1), (2, 1.15)]
    assert [one["failed"] for one in seen] == [(2, 1.0), (4, 1.0), (8, 1.0), (8, 1.0)]
    assert [seen[step].get(f"new {step - 1}") for step in (1, 2, 3)] == [(2, 1.0)] * 3
    assert seen[2]["new 0"] == (4, 1.0)


# -- any order of events ----------------------------------------------------------------------------------------------

RUNS: dict[str, Any] = {
    "kind": st.sampled_from(sorted(POOLS)),
    "replay": st.booleans(),
    "reset_every": st.sampled_from([None, 2, 3]),
    "lag": st.integers(0, 2),
    "oversample": st.integers(1, 2),
    "refill": st.sampled_from([None, Refill(2)]),
    "top_up": st.sampled_from([None, continue_mixed(3)]),
    "gate": st.sampled_from([gates.has_signal, gates.everything, gates.nothing]),
    "seed": st.integers(0, 10_000),
}


def build(kind, replay, reset_every, lag, **settings):
    reset_every = reset_every if replay else None
    return growing(POOLS[kind], replay, reset_every, max_off_policy_steps=lag, groups_per_step=3, **settings)


@settings(max_examples=40, deadline=None)
@given(new=st.lists(st.integers(0, 5), min_size=1, max_size=8), **RUNS)
def test_the_order_of_tells_changes_nothing(new, lag, **options):
    shuffled, runs = np.random.default_rng(options["seed"]), []
    for order in (list, lambda them: them[::-1], lambda them: [them[i] for i in shuffled.permutation(len(them))]):
        scheduler, seen, number = build(lag=0, **options), [], 0
        for count in new:
            scheduler.pool.add(names(number, number := number + count))
            seen.append(play_step(scheduler, order))
        runs.append(seen)
    assert runs[0] == runs[1] == runs[2]
    for step, (asked, groups, records) in enumerate(runs[0], 1):
        assert {one.step for one in asked} <= {step}
        assert groups is not None
        assert [one.request for one in records] == sorted(asked, key=by_id)


class Interrupted(RuleBasedStateMachine):
    """Two schedulers live through the same events, but one is saved and restored now and then: no difference shows."""

    @initialize(**RUNS)
    def begin(self, **options):
        self.options, self.ids = options, []
        self.whole, self.restarted = build(**options), build(**options)
        self.open, self.asked, self.records, self.steps = {}, [], [], 0

    @property
    def both(self):
        return (self.whole, self.restarted)

    def same(self, one, two):
        assert one == two
        return one

    @rule(new=st.integers(0, 4))
    def add(self, new):
        ids = names(len(self.ids), len(self.ids) + new)
        self.ids += ids
        for scheduler in self.both:
            scheduler.pool.add(ids)

    @rule()
    def ask(self):
        request = self.same(*(scheduler.ask() for scheduler in self.both))
        if request is not None:
            self.note(request)

    def note(self, request):
        assert request.task_id == self.ids[request.row]
        in_flight = {one.row for one in self.open.values()}
        assert request.row not in in_flight, "nobody plays a prompt twice at a time"
        self.open[request.id] = request
        self.asked.append(request)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def tell(self, data):
        self.tell_one(data.draw(st.sampled_from(sorted(self.open))))

    def tell_one(self, request_id):
        request = self.open.pop(request_id)
        told = None if request_id % 7 == 3 else POLICY.play(request)
        self.same(*(scheduler.tell(request_id, told) for scheduler in self.both))

    @rule()
    def take(self):
        groups = self.same(*(scheduler.take() for scheduler in self.both))
        if groups is None:
            return
        self.steps += 1
        rows = [group.request.row for group in groups]
        assert len(set(rows)) == len(rows) <= 3
        assert self.options["gate"] is not gates.nothing or not groups
        for scheduler in self.both:
            scheduler.advance(self.steps, moved=0.01)
        self.records += self.same(*(scheduler.drain_records() for scheduler in self.both))

    @rule()
    def restart(self):
        fresh = build(**self.options)
        fresh.pool.restore_ids(self.ids)
        fresh.load_state_dict(through_checkpoint(self.restarted.state_dict()))
        self.restarted = fresh
        further = list(iter(self.whole.ask, None))
        again = list(iter(fresh.ask, None))
        assert sorted(again, key=by_id) == sorted([*self.open.values(), *further], key=by_id)
        for request in further:
            self.note(request)

    @invariant()
    def nothing_is_lost(self):
        if not hasattr(self, "ids"):
            return
        one, two = (scheduler.pool for scheduler in self.both)
        assert (one.live, one.resets, one.metrics()) == (two.live, two.resets, two.metrics())
        assert len(one.history) == len(self.ids)
        fresh = len(self.ids) - len({request.row for request in self.asked})
        assert one.metrics()["pool/fresh"] <= fresh

    def teardown(self):
        if not hasattr(self, "ids"):
            return
        for _ in range(100):
            self.ask()
            while self.open:
                self.tell_one(min(self.open))
            before = self.steps
            self.take()
            if not self.open and len(self.records) == len(self.asked) and self.steps > before:
                break
        self.check_account()

    def check_account(self):
        """With a lag one group may always be ahead, of a step that is not complete; every other one has its record."""
        ahead = [request for request in self.asked if request.step > self.steps]
        assert len(ahead) <= self.options["lag"]
        asked = [request for request in self.asked if request not in ahead]
        assert sorted((one.request for one in self.records), key=by_id) == sorted(asked, key=by_id)
        counts = step_counts(self.records)
        assert counts["rollouts"] == sum(request.n for request in asked)
        assert sum(counts[f"groups/{fate}"] for fate in Fate) == counts["groups/asked"] == len(asked)
        steps = {}
        for request in self.asked:
            steps.setdefault(request.row, set()).add(request.step)
        if not self.options["replay"]:
            assert all(len(played) == 1 for played in steps.values()), "without replay a prompt is played in one step"
        visits = self.whole.history.visits.sum()
        failed = sum(one.fate is Fate.FAILED for one in self.records)
        assert visits <= len(self.asked)
        assert len(asked) <= visits * (2 if self.options["top_up"] else 1) + failed


TestInterrupted = Interrupted.TestCase
TestInterrupted.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_group_that_stays_ahead_is_in_no_record():
    """Found by ``make fuzz``: the second prompt comes after the first was asked for, with a lag of 1."""
    state = Interrupted()
    first = {"kind": "cycling", "replay": True, "reset_every": None, "lag": 1, "oversample": 1, "refill": None}
    state.begin(**first, top_up=None, gate=gates.has_signal, seed=0)
    state.add(new=1)
    state.ask()
    state.add(new=1)
    state.teardown()
    assert len(state.asked) == len(state.records) + 1


def test_a_restored_run_asks_what_was_in_flight_before_it_draws_again():
    """Else it would refill the first step from a pool that has not grown yet, where the run that went on has."""
    options = {"kind": "cycling", "replay": False, "reset_every": None, "lag": 1, "oversample": 1, "refill": Refill(1)}
    whole, restored = (build(**options, gate=gates.has_signal, top_up=None, seed=0) for _ in range(2))
    whole.pool.add(names(0, 4))
    for request in (requests := [whole.ask() for _ in range(4)])[:3]:
        whole.tell(request.id, rollouts(*[0.0] * request.n))
    assert [request.step for request in requests] == [1, 1, 1, 2]
    restored.pool.restore_ids(names(0, 4))
    restored.load_state_dict(through_checkpoint(whole.state_dict()))
    assert restored.ask() == requests[3]
    for scheduler in (whole, restored):
        scheduler.pool.add(names(4, 7))
    further = list(iter(whole.ask, None))
    assert further == list(iter(restored.ask, None))
    assert {request.row for request in further if request.step == 1} == {4, 5, 6}
