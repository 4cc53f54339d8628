"""The scheduler under random events, over every pool: nothing is lost, no restart and no order of tells shows.

``python tests/fuzz.py tests/scheduling/test_scheduler_machine.py`` plays it at 100 times these examples.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scheduling_cases import POOLS, history_of, through_checkpoint

from rekindle import Fate, History, Rollout, Scheduler
from rekindle.scheduling import gates, group_sizes, temperatures, top_ups
from rekindle.scheduling.pools import GrowingPool, Phase, PhasedPool, RecyclingPool
from rekindle.scheduling.refills import Refill

GIVEN = POOLS | {"stopping": partial(RecyclingPool, on_empty="stop")}
SIZES = (group_sizes.fixed(1), group_sizes.fixed(3), group_sizes.inverse_success(1, 4), group_sizes.knapsack(3, 1, 6))
STEPS_MORE = 12
LONG = 200
"""More events than the end of any run needs."""


def phased(prompts, after_last):
    half = max(1, prompts // 2)
    phases = [Phase(2, np.arange(half)), Phase(3, np.arange(prompts))]
    return PhasedPool(history_of(prompts), phases, max_epochs=2, patience=3, after_last=after_last)


def grown(inner, prompts, **options):
    pool = GrowingPool(inner(History([], growing=True)), **options)
    pool.add(new_ids(0, prompts))
    return pool


def new_ids(first, count):
    return [f"new{number}" for number in range(first, first + count)]


MADE = (
    {name: lambda prompts, make=make: make(history_of(prompts)) for name, make in GIVEN.items()}
    | {f"phases, then {after}": partial(phased, after_last=after) for after in ("stop", "continue")}
    | {f"growing, {name}": partial(grown, make, replay=True) for name, make in POOLS.items()}
    | {f"growing once, {name}": partial(grown, make, replay=False) for name, make in POOLS.items()}
    | {f"growing anew, {name}": partial(grown, make, replay=True, reset_every=2) for name, make in POOLS.items()}
)
RUNS = st.fixed_dictionaries(
    {
        "oversample": st.integers(1, 3),
        "group_size": st.sampled_from(SIZES),
        "gate": st.sampled_from([choice.passes for choice in gates.GATES.values()]),
        "refill": st.sampled_from([None, *(Refill(rounds, then) for rounds in (1, 3) for then in ("train", "stop"))]),
        "top_up": st.sampled_from([None, top_ups.continue_mixed(3), top_ups.until_balanced(2, 2, 3)]),
        "max_off_policy_steps": st.integers(0, 3),
        "heat": st.sampled_from([None, "reset", "step_down", "hold"]),
        "seed": st.integers(0, 99),
    }
)


def by_id(request):
    return request.id


def played(request, how):
    """Rollouts of a request; None: the attempt failed."""
    rewards = {"right": [1.0], "wrong": [0.0]}.get(how, [0.0, 1.0])
    one = partial(Rollout, token_ids=[1, 2], loss_mask=[False, True], logprobs=[0.0, -1.0], version=request.version)
    told = [one(reward=rewards[at % len(rewards)], void=how == "void" and at == 0) for at in range(request.n)]
    return None if how == "failed" else told


class Events(RuleBasedStateMachine):
    """Three schedulers live through the same events: one is told in another order, one is restored."""

    @initialize(made=st.sampled_from(sorted(MADE)), prompts=st.integers(1, 14), steps=st.integers(1, 4), options=RUNS)
    def begin(self, made, prompts, steps, options):
        self.made, self.prompts, self.options, self.steps = made, prompts, options | {"groups_per_step": steps}, 0
        self.plain, self.late, self.restored = self.build(), self.build(), self.build()
        self.open, self.asked, self.told, self.waiting, self.records = {}, {}, {}, [], []

    def build(self, *, restored=False):
        """A scheduler; the prompts of a growing pool that is restored come later."""
        pool = MADE[self.made](0 if restored and self.grows else self.prompts)
        options = {key: value for key, value in self.options.items() if key != "heat"}
        heat = self.options["heat"]
        if self.made.startswith("phases"):
            options["rollouts_per_step"] = 4 * options["groups_per_step"]
        if heat:
            options["temperature"] = temperatures.residual_heating(on_signal=heat)
        return Scheduler(pool, **options)

    @property
    def grows(self):
        return self.made.startswith("growing")

    def all_three(self, act):
        """What all three answer, which is the same, after the one that is told late has heard everything."""
        self.hear()
        answers = [act(scheduler) for scheduler in (self.plain, self.late, self.restored)]
        assert answers[0] == answers[1] == answers[2]
        return answers[0]

    def hear(self):
        for request_id, told in reversed(self.waiting):
            self.late.tell(request_id, told)
        self.waiting = []

    @precondition(lambda self: self.grows)
    @rule(count=st.integers(0, 4))
    def add(self, count):
        ids = new_ids(self.prompts, count)
        self.all_three(lambda scheduler: list(scheduler.pool.add(ids)))
        self.prompts += count

    @rule(count=st.integers(1, 5))
    def ask(self, count):
        for _ in range(count):
            request = self.all_three(lambda scheduler: scheduler.ask())
            if request is None:
                assert self.plain.waiting in {"capacity", "exhausted"}
                return
            self.note(request)

    def note(self, request):
        assert request.n >= 1
        assert request.id not in self.asked
        if self.options["top_up"] is None:
            assert request.row not in {one.row for one in self.open.values()}, "nobody plays a prompt twice at a time"
        self.asked[request.id] = self.open[request.id] = request
        assert len({one.step for one in self.open.values()}) <= self.options["max_off_policy_steps"] + 1

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["both", "both", "both", "right", "wrong", "failed", "void"]))
    def tell(self, data, how):
        self.tell_one(data.draw(st.sampled_from(sorted(self.open))), how)

    def tell_one(self, request_id, how):
        told = played(self.open.pop(request_id), how)
        fates = {scheduler.tell(request_id, told) for scheduler in (self.plain, self.restored)}
        assert fates == {Fate.FAILED} if how in {"failed", "void"} else len(fates) == 1
        self.told[request_id] = told
        self.waiting.append((request_id, told))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_again(self, data):
        request_id = data.draw(st.sampled_from(sorted(self.told)))
        with pytest.raises(ValueError, match="told already"):
            self.plain.tell(request_id, self.told[request_id])

    @precondition(lambda self: self.open)
    @rule(data=st.data(), more=st.sampled_from([-1, 1]))
    def tell_too_few_or_many(self, data, more):
        request = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        with pytest.raises(ValueError, match="rollouts and got"):
            self.plain.tell(request.id, [*played(request, "both"), *played(request, "both")][: request.n + more])

    @rule(newer=st.sampled_from([1, 1, 1, 2, 4]), moved=st.sampled_from([0.0, 0.01, 3.0]))
    def take(self, newer, moved):
        groups = self.all_three(lambda scheduler: scheduler.take())
        if groups is None:
            return
        self.steps += 1
        records = self.all_three(lambda scheduler: scheduler.drain_records())
        self.check_batch(groups, records)
        self.records += records
        version = self.plain.version + newer
        self.all_three(lambda scheduler: scheduler.advance(version, moved))
        with pytest.raises(ValueError, match="versions only grow"):
            self.plain.advance(version - 1)

    def check_batch(self, groups, records):
        rows = [group.request.row for group in groups]
        assert len(rows) == len(set(rows)), "a prompt teaches once an update"
        oldest = self.plain.version - self.options["max_off_policy_steps"]
        assert all(group.request.version >= oldest for group in groups)
        taught = {request.id for group in groups for request in (group.request, *group.topped_up)}
        assert taught == {one.request.id for one in records if one.fate is Fate.TRAINED}
        for one in records:
            told = self.told[one.request.id]
            failed = told is None or any(rollout.void for rollout in told)
            assert (one.fate is Fate.FAILED) == failed
            assert failed or one.successes == one.reward_sum == sum(rollout.reward for rollout in told)

    @rule()
    def restore(self):
        fresh = self.build(restored=True)
        if self.grows:
            fresh.pool.restore_ids(new_ids(0, self.prompts))
        fresh.load_state_dict(through_checkpoint(self.restored.state_dict()))
        again = {}
        while len(again) < len(self.open):  # at first those in flight, in any order, and top-ups
            request = fresh.ask()
            again[request.id] = request
            if request.id not in self.open:
                self.hear()
                assert self.plain.ask() == self.late.ask() == request
                self.note(request)
        assert again == self.open
        self.restored = fresh

    @invariant()
    def nothing_is_lost(self):
        if not hasattr(self, "asked"):
            return
        assert self.asked.keys() == self.told.keys() | self.open.keys()
        one, other = self.plain.pool, self.restored.pool
        assert (one.live, one.resets, one.metrics()) == (other.live, other.resets, other.metrics())

    def teardown(self):
        """Some whole steps more; then as few requests as the open steps need to end. Every request has one record."""
        if not hasattr(self, "asked"):
            return
        for _ in range(STEPS_MORE):
            self.ask(LONG)
            self.end_step()
        for _ in range(LONG):
            if len(self.records) == len(self.asked):
                break
            if not self.end_step():
                self.ask(1)
        assert sorted((one.request for one in self.records), key=by_id) == sorted(self.asked.values(), key=by_id)

    def end_step(self):
        for request_id in sorted(self.open, reverse=True):
            self.tell_one(request_id, "both")
        before = self.steps
        self.take(1, 0.0)
        return self.steps > before


TestEvents = Events.TestCase
TestEvents.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
