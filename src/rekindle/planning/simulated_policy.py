"""A simulated policy that learns: an item-response model in place of a language model.

    P(prompt i is solved) = s(x_i / T)^k,  s(x) = 1 / (1 + exp(-x))
    x_i = x_i at the start + A + sigma W_i(A),  A = ability, T = temperature / base temperature

A rollout is right where each of k steps is right, and x_i are the log-odds of a step. So hard prompts profit more than
easy ones: where little is solved the log-odds of success rise by k for each 1 of ability, where nearly everything is
solved by 1. The ability is 0 at the start. An update raises it by ``gain`` times the square root of the share of its
groups that have signal: the optimizer's steps are of one size, and their direction is the better the more groups it is
a mean of. Prompts of one rate do not profit alike: each has a Brownian motion W_i of its own, so that a prompt that was
never solved may be solved now, and one that was always solved may be forgotten.
"""

from collections.abc import Iterable
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.seeding import mixed_seed
from rekindle.types import GroupRequest, Rollout

__all__ = ["STEPS", "UNEVENNESS", "LearningPolicy", "rate_of", "rise", "step_odds"]

STEPS = 3.0
"""Steps of a rollout that must all be right (``k``)."""
UNEVENNESS = 0.8
"""Standard deviation of the rise of x_i where the ability has risen by 1 (``sigma``)."""
_SCALE = 2.0**63
"""Seeds are below it."""
_NORMAL = NormalDist()


def rise(share: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """By how much an update raises the ability, in gains, where this share of its groups has signal."""
    return np.sqrt(np.asarray(share, np.float64))


def step_odds(rates: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Log-odds of a step, of prompts with these success rates."""
    each = np.asarray(rates, np.float64) ** (1 / STEPS)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(each / (1 - each)))


def rate_of(odds: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Success rates of prompts whose steps have these log-odds."""
    with np.errstate(over="ignore"):
        return np.asarray((1.0 + np.exp(-np.asarray(odds))) ** -STEPS)


class LearningPolicy:
    """Plays the requests of a scheduler. Rollouts depend on the request, and on the versions that played its prompt.

    Args:
        rates: [prompts] success rates at the start, at ``temperature``.
        temperature: Base temperature.
        seed: Of the prompts' own ways.
    """

    def __init__(self, rates: npt.ArrayLike, temperature: float = 1.0, *, seed: int = 0) -> None:
        self._odds: npt.NDArray[np.float32] = step_odds(rates).astype(np.float32)
        self._seen_at: npt.NDArray[np.float32] = np.zeros(len(self._odds), np.float32)
        """Ability at which ``_odds`` stand."""
        self._temperature, self._seed = temperature, seed
        self.abilities = [0.0]
        """Ability of each version."""

    def rate(self, row: int, version: int, temperature: float) -> float:
        """Success rate of a prompt; a version before the last one that played the prompt counts as that one."""
        heat = temperature / self._temperature
        return float(rate_of(self._step_odds(row, version) / heat))

    def play(self, request: GroupRequest, _: Iterable[float] = ()) -> list[Rollout]:
        """Rollouts of a request, of one sampled token each."""
        chance = self.rate(request.row, request.version, request.temperature) * _SCALE
        seed = request.seed
        return [_ROLLOUTS[mixed_seed(seed, index) < chance] for index in range(request.n)]

    def learn(self, amount: float) -> None:
        """A further version, whose ability is higher by ``amount``."""
        self.abilities.append(self.abilities[-1] + amount)

    def _step_odds(self, row: int, version: int) -> float:
        """The log-odds of a prompt's steps, moved on to a version."""
        odds, risen = self._odds.item(row), self.abilities[version] - self._seen_at.item(row)
        if risen > 0:
            place = (mixed_seed(self._seed ^ row, version) + 0.5) / _SCALE
            odds += risen + UNEVENNESS * sqrt(risen) * _NORMAL.inv_cdf(place)
            self._odds[row], self._seen_at[row] = odds, self.abilities[version]
        return odds


_ROLLOUTS = [
    Rollout(token_ids=[0, 0], loss_mask=[False, True], logprobs=[0.0, 0.0], reward=reward) for reward in (0.0, 1.0)
]
