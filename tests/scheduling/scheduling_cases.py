"""Histories, pools, records of groups and exact binomial bounds for the tests of scheduling rules."""

import json
from collections.abc import Callable
from functools import partial
from math import exp, lgamma, log

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools import CyclingPool, Growable, PrioritizedPool, RecyclingPool, SelectivePool
from rekindle.scheduling.priorities import signal_chance
from rekindle.scheduling.temperatures import fixed
from rekindle.types import Fate, GroupRequest, Outcome

CHANCE = signal_chance(4, fixed(1.0))
POOLS: dict[str, Callable[[History], Growable]] = {
    "cycling": CyclingPool,
    "selective": SelectivePool,
    "recycling": RecyclingPool,
    "soft recycling": partial(RecyclingPool, alpha=0.1, reset_below=0.3),
    "prioritized": partial(PrioritizedPool, priority=CHANCE),
    "prioritized, drawn": partial(PrioritizedPool, priority=CHANCE, consume="drawn"),
    "prioritized, trained": partial(PrioritizedPool, priority=CHANCE, select="best", consume="trained", alpha=0.1),
}
"""Every kind of pool whose prompts may change while the run goes on."""


def history_of(prompts, belief=None):
    return History((f"t{row}" for row in range(prompts)), belief)


def visit(history, row, successes, n=4, temperature=1.0):
    outcome = Outcome.MIXED if 0 < successes < n else Outcome.ALL_CORRECT if successes else Outcome.ALL_WRONG
    history.record(row, outcome, successes=successes, n=n, temperature=temperature, version=0)
    return outcome


def record(row, fate=Fate.TRAINED, outcome=Outcome.MIXED, n=4, reward_sum=0.0):
    request = GroupRequest(id=row, task_id=f"t{row}", row=row, n=n, temperature=1.0, seed=0, version=0, step=1)
    return GroupRecord(request=request, fate=fate, outcome=outcome, reward_sum=reward_sum)


def through_checkpoint(state):
    """A state as a checkpoint gives it back: copies of its arrays, and the rest through JSON."""
    if isinstance(state, dict):
        return {key: through_checkpoint(value) for key, value in state.items()}
    return state.copy() if isinstance(state, np.ndarray) else json.loads(json.dumps(state))


def assert_binomial(count, trials, chance, level=1e-6):
    """Either tail of Binomial(trials, chance) at ``count`` has at least level / 2."""

    def mass(k):
        ways = lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1)
        return exp(ways + k * log(chance) + (trials - k) * log(1 - chance))

    below = sum(mass(k) for k in range(count + 1))
    above = sum(mass(k) for k in range(count, trials + 1))
    assert min(below, above) >= level / 2, f"{count} of {trials} is no sample of chance {chance}"
