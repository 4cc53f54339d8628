from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_cases import through_checkpoint

from rekindle import Fate, History, Outcome, Rollout, Scheduler
from rekindle.scheduling import gates, group_sizes, temperatures
from rekindle.scheduling.group_records import step_counts
from rekindle.scheduling.pools import CyclingPool, RecyclingPool
from rekindle.scheduling.refills import Refill
from rekindle.testing import SimulatedPolicy


def make(pool=RecyclingPool, prompts=40, **settings):
    return Scheduler(
        pool(History(f"t{row}" for row in range(prompts))), **{"groups_per_step": 4, "oversample": 2} | settings
    )


def rollouts(*rewards):
    return [
        Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=reward) for reward in rewards
    ]


def play_step(scheduler, policy, order=list):
    """Ask everything there is, tell in some order, take."""
    requests = list(iter(scheduler.ask, None))
    for request in order(requests):
        scheduler.tell(request.id, policy.play(request))
    return scheduler.take()


def run(scheduler, policy, steps, order=list):
    seen = []
    for _ in range(steps):
        while (groups := play_step(scheduler, policy, order)) is None:
            pass
        scheduler.advance(scheduler.version + 1)
        records = scheduler.drain_records()
        seen.append(([group.request.id for group in groups], records))
    return seen


def spread(prompts, seed=0):
    return SimulatedPolicy(np.random.default_rng(seed).beta(0.5, 0.5, prompts))


def test_a_step_by_hand():
    """Four prompts, B = 2, k = 2: two mixed, one all right, one all wrong."""
    scheduler = make(prompts=4, groups_per_step=2, group_size=group_sizes.fixed(2))
    requests = [scheduler.ask() for _ in range(4)]
    assert scheduler.ask() is None
    assert scheduler.waiting == "capacity"
    rewards = [(1, 0), (1, 1), (0, 0), (0, 1)]
    fates = [scheduler.tell(r.id, rollouts(*pair)) for r, pair in zip(requests, rewards, strict=True)]
    assert fates == [Fate.TRAINED, Fate.RECYCLED, Fate.RECYCLED, Fate.TRAINED]
    groups = scheduler.take()
    assert [group.request.id for group in groups] == [0, 3]
    assert [group.outcome for group in groups] == [Outcome.MIXED, Outcome.MIXED]
    scheduler.advance(1)
    counts = step_counts(scheduler.drain_records())
    expected = {"asked": 4, "mixed": 2, "all_correct": 1, "all_wrong": 1, "trained": 2, "recycled": 2, "fresh": 2}
    assert {key: counts[f"groups/{key}"] for key in expected} == expected
    assert scheduler.pool.live == 2
    again = list(iter(scheduler.ask, None))
    assert {request.row for request in again} == {requests[1].row, requests[2].row}
    assert {request.version for request in again} == {1}
    for request in again:
        scheduler.tell(request.id, rollouts(1, 0))
    scheduler.take()
    counts = step_counts(scheduler.drain_records())
    assert (counts["groups/rescued_easy"], counts["groups/rescued_hard"], counts["groups/fresh"]) == (1, 1, 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 6))
def test_the_order_of_tells_changes_nothing(seed, steps):
    shuffled = np.random.default_rng(seed)
    orders = (list, lambda rs: list(reversed(rs)), lambda rs: [rs[i] for i in shuffled.permutation(len(rs))])
    runs = [run(make(seed=seed), spread(40, seed), steps, order) for order in orders]
    assert runs[0] == runs[1] == runs[2]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    pool=st.sampled_from([CyclingPool, RecyclingPool, partial(RecyclingPool, alpha=0.1)]),
    gate=st.sampled_from([choice.passes for choice in gates.GATES.values()]),
    refill=st.sampled_from([None, Refill(1), Refill(3)]),
    fail=st.integers(2, 9),
)
def test_every_group_has_one_fate_and_they_add_up(seed, pool, gate, refill, fail):
    scheduler = make(pool, seed=seed, gate=gate, refill=refill, oversample=1)
    policy, asked, rollouts_told, records = spread(40, seed), [], 0, []
    for _ in range(8):
        while scheduler.take() is None:
            requests = list(iter(scheduler.ask, None))
            assert requests, "a step must end"
            for request in requests:
                asked.append(request.id)
                failed = request.id % fail == 0
                scheduler.tell(request.id, None if failed else policy.play(request))
                rollouts_told += request.n
        scheduler.advance(scheduler.version + 1)
        records += scheduler.drain_records()
    assert [one.request.id for one in records] == asked
    counts = step_counts(records)
    assert counts["rollouts"] == rollouts_told
    assert sum(counts[f"groups/{fate}"] for fate in Fate) == counts["groups/asked"] == len(asked)
    sources = ("fresh", "rescued_hard", "rescued_easy", "returned")
    assert sum(counts[f"groups/{source}"] for source in sources) == counts["groups/trained"]


def test_excess_groups_are_a_uniform_choice_and_stay_eligible():
    trained = np.zeros(8)
    for seed in range(400):
        scheduler = make(prompts=8, seed=seed)
        groups = play_step(scheduler, SimulatedPolicy([0.5] * 8)) or []
        excess = [one for one in scheduler.drain_records() if one.fate is Fate.EXCESS]
        mixed = len(groups) + len(excess)
        assert len(groups) == min(mixed, 4)
        for one in excess:
            assert scheduler.history.weight[one.request.row] == 1
        for group in groups:
            trained[group.request.row] += 1 / max(len(groups), 1)
    share = trained / trained.sum()
    assert share == pytest.approx(np.full(8, 1 / 8), abs=4.5 * (7 / 64 / 1400) ** 0.5)


def test_told_once_known_and_complete_or_refused():
    scheduler = make()
    request = scheduler.ask()
    with pytest.raises(ValueError, match="asked for 4 rollouts and got 2"):
        scheduler.tell(request.id, rollouts(0, 1))
    scheduler.tell(request.id, rollouts(0, 1, 1, 1))
    with pytest.raises(ValueError, match="told already"):
        scheduler.tell(request.id, rollouts(0, 1, 1, 1))
    with pytest.raises(ValueError, match="never asked"):
        scheduler.tell(999, None)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_capacity_bounds_how_far_ahead_requests_go(lag):
    scheduler = make(max_off_policy_steps=lag, prompts=200)
    policy = spread(200)
    for _ in range(6):
        requests = list(iter(scheduler.ask, None))
        for request in requests:
            scheduler.tell(request.id, policy.play(request))
        groups = scheduler.take()
        assert all(scheduler.version - group.request.version <= lag for group in groups)
        in_flight = [row for request in requests for row in [request.row]]
        assert len(set(in_flight)) == len(in_flight)
        scheduler.advance(scheduler.version + 1)
    assert all(one.fate is not Fate.EXPIRED for one in scheduler.drain_records())


def test_a_jump_of_versions_expires_old_groups_and_returns_their_prompts():
    scheduler = make(max_off_policy_steps=1)
    requests = list(iter(scheduler.ask, None))
    scheduler.advance(5)
    for request in requests:
        scheduler.tell(request.id, rollouts(1, 0, 0, 0))
    while (groups := scheduler.take()) is not None:
        assert groups == []
    records = scheduler.drain_records()
    assert {one.fate for one in records} == {Fate.EXPIRED}
    assert scheduler.pool.live == 40


def test_versions_only_grow():
    scheduler = make()
    scheduler.advance(3)
    with pytest.raises(ValueError, match="versions only grow"):
        scheduler.advance(2)


def test_refill_goes_on_until_enough_groups_carry_signal():
    scheduler = make(CyclingPool, prompts=100, oversample=1, refill=Refill(20))
    groups = None
    while groups is None:
        groups = play_step(scheduler, SimulatedPolicy([0.1] * 100))
    assert len(groups) == 4
    assert len(scheduler.drain_records()) > 4


@pytest.mark.parametrize("on_exhausted", ["train", "stop"])
def test_refill_is_bounded_and_loses_no_accepted_group(on_exhausted):
    rates = np.zeros(100)
    scheduler = make(CyclingPool, prompts=100, oversample=1, refill=Refill(3, on_exhausted))
    told = 0
    while (groups := scheduler.take()) is None:
        for request in list(iter(scheduler.ask, None)):
            scheduler.tell(request.id, rollouts(1, 0, 0, 0) if told == 0 else SimulatedPolicy(rates).play(request))
            told += 1
    assert told == 4 * 4
    fates = [one.fate for one in scheduler.drain_records()]
    if on_exhausted == "train":
        assert len(groups) == fates.count(Fate.TRAINED) == 1
        assert scheduler.stopped is None
    else:
        assert groups == []
        assert fates.count(Fate.EXCESS) == 1
        assert "1 of 4 groups with signal" in scheduler.stopped
        scheduler.advance(1)
        assert scheduler.ask() is None
        assert scheduler.waiting == "exhausted"


def test_an_empty_pool_that_may_not_reset_says_so():
    scheduler = make(partial(RecyclingPool, on_empty="stop"), prompts=4)
    run(scheduler, SimulatedPolicy([0.5] * 4), 1)
    while scheduler.pool.live:
        run(scheduler, SimulatedPolicy([0.5] * 4), 1)
    assert scheduler.ask() is None
    assert scheduler.waiting == "exhausted"
    assert "no eligible prompt left" in scheduler.stopped


def test_gates():
    outcomes = {"mixed": rollouts(0, 1, 1, 1), "right": rollouts(1, 1, 1, 1), "wrong": rollouts(0, 0, 0, 0)}
    table = (
        (gates.has_signal, {"mixed"}),
        (gates.not_all_wrong, {"mixed", "right"}),
        (gates.everything, set(outcomes)),
        (gates.nothing, set()),
    )
    for gate, kept in table:
        scheduler = make(gate=gate)
        told = {name: scheduler.tell(scheduler.ask().id, group) for name, group in outcomes.items()}
        assert {name for name, fate in told.items() if fate is Fate.TRAINED} == kept
        assert {fate for fate in told.values() if fate is not Fate.TRAINED} <= {scheduler.pool.no_signal}
    assert set(gates.GATES) == {"has_signal", "not_all_wrong", "everything"}, "a configuration learns from something"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), told_before=st.integers(0, 8), lag=st.integers(0, 2))
def test_a_saved_scheduler_goes_on_exactly_with_requests_in_flight(seed, told_before, lag):
    """Save in mid-step as a checkpoint does, and compare with the scheduler that was not saved."""
    policy = spread(40, seed)
    original = make(seed=seed, max_off_policy_steps=lag)
    run(original, policy, 3)
    requests = list(iter(original.ask, None))
    for request in requests[:told_before]:
        original.tell(request.id, policy.play(request))
    state = original.state_dict()
    restored = make(seed=seed, max_off_policy_steps=lag)
    restored.load_state_dict(through_checkpoint(state))
    assert list(iter(restored.ask, None)) == requests[told_before:]
    results = []
    for scheduler in (original, restored):
        for request in requests[told_before:]:
            scheduler.tell(request.id, policy.play(request))
        taken = []
        while (groups := scheduler.take()) is not None:
            taken.append(groups)
        scheduler.advance(scheduler.version + 1)
        results.append((taken, scheduler.drain_records(), run(scheduler, policy, 3)))
    assert results[0] == results[1]


def test_request_seeds_differ_between_requests_and_runs():
    seeds = [
        request.seed for seed in (0, 1) for request in iter(make(prompts=400, groups_per_step=200, seed=seed).ask, None)
    ]
    assert len(set(seeds)) == len(seeds) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("name", ["groups_per_step", "oversample", "max_off_policy_steps", "seed"])
def test_settings_below_their_least_value_are_refused(name):
    with pytest.raises(ValueError, match=name):
        make(**{name: -1})
    with pytest.raises(ValueError, match="group size 0"):
        group_sizes.fixed(0)
    with pytest.raises(ValueError, match="temperature 0"):
        temperatures.fixed(0)
    with pytest.raises(ValueError, match="refill of 0 rounds"):
        Refill(0)
