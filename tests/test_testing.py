"""The conformance kits: ours pass, broken implementations fail."""

from collections import Counter

import numpy as np
import pytest

from rekindle import Rollout
from rekindle.learning.estimators import (
    ESTIMATORS,
    Estimator,
    batch_standardize,
    dr_grpo,
    gpg,
    grpo,
    maxrl,
    reactivate,
    rloo,
)
from rekindle.scheduling.pools import RecyclingPool
from rekindle.testing import SimulatedPolicy, check_environment, check_estimator, check_pool
from rekindle.types import GroupRequest


class Repeats(RecyclingPool):
    def draw(self, count, rng, in_flight=()):
        return np.zeros(count, np.int64)


class Greedy(RecyclingPool):
    def draw(self, count, rng, in_flight=()):
        return super().draw(count + 1, rng, in_flight)


class IgnoresFlight(RecyclingPool):
    def draw(self, count, rng, in_flight=()):
        return super().draw(count, rng)


class Forgets(RecyclingPool):
    def state_dict(self):
        return {"resets": 0}


@pytest.mark.parametrize(
    ("pool", "message"), [(Repeats, "distinct"), (Greedy, "more than count"), (IgnoresFlight, "in flight")]
)
def test_broken_pools_are_found(pool, message):
    with pytest.raises(AssertionError, match=message):
        check_pool(pool)


def test_a_pool_that_forgets_is_found():
    with pytest.raises(AssertionError):
        check_pool(lambda history: Forgets(history, reset_below=0.9))


NOT_ZERO_FOR_EQUAL = {"c_rf", "reinforce"}
PURE = [batch_standardize, dr_grpo, grpo, maxrl, rloo]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_our_estimators_conform(name):
    check_estimator(ESTIMATORS[name], zero_for_equal=name not in NOT_ZERO_FOR_EQUAL)


@pytest.mark.parametrize("name", sorted(NOT_ZERO_FOR_EQUAL))
def test_equal_rewards_must_give_zeros_by_default(name):
    with pytest.raises(AssertionError, match="exact zeros; pass zero_for_equal=False"):
        check_estimator(ESTIMATORS[name])


@pytest.mark.parametrize("function", [*PURE, reactivate], ids=lambda function: function.__name__)
def test_our_pure_functions_conform(function):
    check_estimator(function, zero_for_equal=function in PURE)


@pytest.mark.parametrize(
    "estimator",
    [
        lambda rewards: [0.0],
        lambda rewards: [reward - 1e-9 for reward in rewards],
        lambda rewards: [-(reward - np.mean(rewards)) if len(set(rewards)) > 1 else 0.0 for reward in rewards],
        lambda rewards: [reward * index if len(set(rewards)) > 1 else 0.0 for index, reward in enumerate(rewards)],
    ],
    ids=["length", "noise", "sign", "order"],
)
def test_broken_functions_are_found(estimator):
    with pytest.raises(AssertionError):
        check_estimator(estimator)


def with_counts(groups):
    return [[reward - group.successes for reward in group.rewards] for group in groups]


def against_the_first_group(groups):
    first = max(groups[0].rewards)
    return [[reward - first for reward in group.rewards] for group in groups]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Estimator(gpg, "group"), "must not depend on the others"),
        (Estimator(with_counts, "batch"), "must not depend on the Beta counts"),
        (Estimator(against_the_first_group, "batch"), "the order of groups must not matter"),
        (Estimator(lambda groups: gpg(groups)[:1], "batch"), "one advantage per reward, grouped as its input"),
    ],
    ids=["scope", "history", "order of groups", "lost groups"],
)
def test_estimators_with_false_declarations_are_found(estimator, message):
    with pytest.raises(AssertionError, match=message):
        check_estimator(estimator, zero_for_equal=False)


class World:
    counts = Counter()  # noqa: RUF012
    seconds = {"generate": 0.0, "verify": 0.0}  # noqa: RUF012

    def __init__(self, **changes):
        self.changes = changes

    def play(self, requests):
        for request in requests:
            values = {
                "token_ids": [1, 2],
                "loss_mask": [False, True],
                "logprobs": [0.0, -1.0],
                "reward": 1.0,
                "temperature": request.temperature,
                "version": request.version,
            }
            yield request.id, [Rollout(**values | self.changes) for _ in range(request.n)]


def test_environments():
    check_environment(World(), tasks=4)
    for changes in ({"logprobs": [0.0]}, {"loss_mask": [True, True]}, {"version": 0}, {"temperature": 0.5}):
        with pytest.raises(AssertionError):
            check_environment(World(**changes), tasks=4)


def test_a_simulated_policy_depends_on_the_request_alone_and_has_its_rates():
    policy = SimulatedPolicy([0.0, 0.3, 1.0])
    requests = [
        GroupRequest(id=i, task_id="", row=row, n=200, temperature=1.0, seed=i, version=0, step=1)
        for i, row in enumerate([0, 1, 1, 2])
    ]
    played = [[rollout.reward for rollout in policy.play(request)] for request in requests]
    assert played[1] == [rollout.reward for rollout in policy.play(requests[1])]
    assert played[1] != played[2]
    assert sum(played[0]) == 0
    assert sum(played[3]) == 200
    assert sum(played[1] + played[2]) == pytest.approx(120, abs=45)
