"""Histories, settled steps and exact binomial bounds for the tests of scheduling rules."""

from math import exp, lgamma, log

from rekindle.scheduling.accounting import Settled
from rekindle.scheduling.history import History
from rekindle.types import Fate, GroupRequest, Outcome


def history_of(prompts, belief=None):
    return History((f"t{row}" for row in range(prompts)), belief)


def visit(history, row, successes, n=4, temperature=1.0):
    outcome = Outcome.MIXED if 0 < successes < n else Outcome.ALL_CORRECT if successes else Outcome.ALL_WRONG
    history.record(row, outcome, successes=successes, n=n, temperature=temperature, version=0)
    return outcome


def settled(row, fate=Fate.TRAINED, outcome=Outcome.MIXED, n=4, reward_sum=0.0):
    request = GroupRequest(row, f"t{row}", row, n, 1.0, seed=0, version=0, step=1)
    return Settled(request, fate, outcome, reward_sum=reward_sum)


def assert_binomial(count, trials, chance, level=1e-6):
    """Either tail of Binomial(trials, chance) at ``count`` has at least level / 2."""

    def mass(k):
        ways = lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1)
        return exp(ways + k * log(chance) + (trials - k) * log(1 - chance))

    below = sum(mass(k) for k in range(count + 1))
    above = sum(mass(k) for k in range(count, trials + 1))
    assert min(below, above) >= level / 2, f"{count} of {trials} is no sample of chance {chance}"
