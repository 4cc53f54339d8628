"""What a request and its group carry: size, temperature, and the record of the prompt before the visit."""

import numpy as np
import pytest
from scheduling_cases import history_of

from rekindle import Outcome, Rollout, Scheduler
from rekindle.scheduling import gates, group_sizes, temperatures
from rekindle.scheduling.belief import Belief
from rekindle.scheduling.group_records import step_counts
from rekindle.scheduling.pools import CyclingPool, Phase, PhasedPool
from rekindle.testing import SimulatedPolicy


def asked(scheduler):
    request = scheduler.ask()
    assert request is not None
    return request


def taken(scheduler):
    groups = scheduler.take()
    assert groups is not None
    return groups


def rollouts(*rewards):
    return [
        Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=reward) for reward in rewards
    ]


def sizes_by_row(history, rows):
    return [1 + row % 3 for row in rows.tolist()]


def test_group_size_and_temperature_are_attributes_of_the_request():
    scheduler = Scheduler(
        CyclingPool(history_of(40)),
        groups_per_step=8,
        group_size=sizes_by_row,
        temperature=temperatures.residual_heating(1.0, 0.05, 1.2),
        gate=gates.everything,
    )
    scheduler.history.heating_steps[:] = np.arange(40) % 7
    for request in iter(scheduler.ask, None):
        assert request.n == 1 + request.row % 3
        assert request.temperature == min(1.0 + 0.05 * (request.row % 7), 1.2)
        scheduler.tell(request.id, SimulatedPolicy([0.5] * 40).play(request))
    assert {len(group.rollouts) for group in taken(scheduler)} <= {1, 2, 3}


def test_groups_sized_by_what_is_known_share_the_steps_budget():
    """Knapsack over a history primed with known rates: the same total every step, more for the uncertain."""
    scheduler = Scheduler(CyclingPool(history_of(40)), groups_per_step=8, group_size=group_sizes.knapsack(6, 2, 16))
    scheduler.history.prime(np.arange(40), np.arange(40) * 2.0, 80.0 - np.arange(40) * 2.0)
    policy = SimulatedPolicy(np.arange(40) / 40)
    for _ in range(5):
        requests = list(iter(scheduler.ask, None))
        assert sum(request.n for request in requests) == 48
        sizes = {request.row: request.n for request in requests}
        assert len(set(sizes.values())) > 1
        for request in requests:
            scheduler.tell(request.id, policy.play(request))
        for group in taken(scheduler):
            assert len(group.rollouts) == group.request.n == sizes[group.request.row]
        scheduler.advance(scheduler.version + 1)
    assert step_counts(scheduler.drain_records())["rollouts"] == 240 == scheduler.history.attempts.sum()


def test_a_pool_that_prescribes_the_size_keeps_the_rollouts_of_a_step():
    """Phases of groups of 2, 4 and 8 at 16 rollouts a step: 8, then 4, then 2 prompts."""
    history = history_of(24)
    phases = [Phase(size, np.arange(24)) for size in (2, 4, 8)]
    scheduler = Scheduler(PhasedPool(history, phases), groups_per_step=99, rollouts_per_step=16)
    seen = []
    for _ in range(3 + 6 + 4):
        expected = scheduler.groups_per_step
        requests = list(iter(scheduler.ask, None))
        assert len(requests) == expected
        assert sum(request.n for request in requests) == 16
        seen.append({request.n for request in requests})
        for request in requests:
            scheduler.tell(request.id, rollouts(*[0, 1] * (request.n // 2)))
        assert len(taken(scheduler)) == expected
        scheduler.advance(scheduler.version + 1)
    assert seen == [{2}] * 3 + [{4}] * 6 + [{8}] * 4


def test_a_pool_that_prescribes_the_size_can_keep_the_prompts_of_a_step():
    """Phases of groups of 2, 4 and 8 at 8 prompts a step: 16, then 32, then 64 rollouts."""
    history = history_of(16)
    phases = [Phase(size, np.arange(16)) for size in (2, 4, 8)]
    scheduler = Scheduler(PhasedPool(history, phases), groups_per_step=8)
    spent = []
    for _ in range(12):
        requests = list(iter(scheduler.ask, None))
        assert len(requests) == scheduler.groups_per_step == 8
        spent.append(sum(request.n for request in requests))
        for request in requests:
            scheduler.tell(request.id, rollouts(*[0, 1] * (request.n // 2)))
        assert len(taken(scheduler)) == 8
        scheduler.advance(scheduler.version + 1)
    assert spent == [16, 16, 32, 32, 64, 64] * 2


def test_a_group_larger_than_the_step_is_still_asked():
    pool = PhasedPool(history_of(2), [Phase(8, np.arange(2))])
    scheduler = Scheduler(pool, groups_per_step=1, rollouts_per_step=4)
    assert scheduler.groups_per_step == 1
    assert [request.n for request in iter(scheduler.ask, None)] == [8]


def test_a_group_carries_what_was_known_before_its_visit():
    scheduler = Scheduler(
        CyclingPool(history_of(1, Belief(1.0, 2.0))),
        groups_per_step=1,
        temperature=temperatures.residual_heating(1.0, 0.05, 1.2),
        gate=gates.everything,
    )
    visits = [(1, 1, 1, 1), (1, 1, 1, 1), (1, 0, 0, 1), (0, 0, 0, 0), (1, 1, 1, 0)]
    groups = []
    for rewards in visits:
        scheduler.tell(asked(scheduler).id, rollouts(*rewards))
        groups += taken(scheduler)
        scheduler.advance(scheduler.version + 1)
    assert [group.beta for group in groups] == [(1, 2), (5, 2), (9, 2), (11, 4), (11, 8)]
    assert [group.streak for group in groups] == [0, 1, 2, 1, 0]
    assert [group.request.temperature for group in groups] == pytest.approx([1.0, 1.05, 1.1, 1.05, 1.0])
    right, mixed, wrong = Outcome.ALL_CORRECT, Outcome.MIXED, Outcome.ALL_WRONG
    assert [group.previous_outcome for group in groups] == [None, right, right, mixed, wrong]
    assert [group.first_outcome for group in groups] == [None, right, right, right, right]


def test_movement_of_the_policy_discounts_the_posterior():
    """A half-life of 0.1 nats: after 0.1 in two updates half of the 4 successes is believed, and visited on."""
    scheduler = Scheduler(
        CyclingPool(history_of(1, Belief(0.0, 0.0, half_life=0.1))), groups_per_step=1, gate=gates.everything
    )
    for moved in (0.025, 0.075):
        scheduler.tell(asked(scheduler).id, rollouts(1, 1, 1, 1) if moved < 0.05 else None)
        scheduler.take()
        scheduler.advance(scheduler.version + 1, moved)
    assert scheduler.history.movement == pytest.approx(0.1)
    request = asked(scheduler)
    scheduler.tell(request.id, rollouts(0, 0, 0, 1))
    (group,) = taken(scheduler)
    assert group.beta == pytest.approx((2.0, 0.0))
    assert scheduler.history.beta(0) == pytest.approx((3.0, 3.0))
