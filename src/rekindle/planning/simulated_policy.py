"""A simulated policy that learns: an item-response model in place of a language model.

    P(prompt i is solved) = 1 / (1 + exp(-(d_i + ability) / T)),   d_i = log-odds at the start, T = temperature / base

The ability is 0 at the start and rises with each update by ``gain`` times the share of the update's groups that have
signal. All prompts profit alike.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.seeding import mixed_seed
from rekindle.types import GroupRequest, Rollout

__all__ = ["LearningPolicy"]

_SCALE = 2.0**63
"""Seeds are below it."""


class LearningPolicy:
    """Plays the requests of a scheduler. Rollouts depend on the request's seed and version alone.

    Args:
        rates: [prompts] success rates at the start, at ``temperature``.
        temperature: Base temperature.
    """

    def __init__(self, rates: npt.ArrayLike, temperature: float = 1.0) -> None:
        given = np.asarray(rates, np.float64)
        with np.errstate(divide="ignore"):
            self._odds: npt.NDArray[np.float32] = np.log(given / (1 - given), dtype=np.float32, casting="same_kind")
        self._temperature = temperature
        self.abilities = [0.0]
        """Ability of each version."""

    def rate(self, row: int, version: int, temperature: float) -> float:
        """Success rate of a prompt."""
        odds = self._odds.item(row)
        heat = temperature / self._temperature
        return float(1.0 / (1.0 + np.exp(-(odds + self.abilities[version]) / heat)))

    def play(self, request: GroupRequest, _: Iterable[float] = ()) -> list[Rollout]:
        """Rollouts of a request, of one sampled token each."""
        chance = self.rate(request.row, request.version, request.temperature) * _SCALE
        seed = request.seed
        return [_ROLLOUTS[mixed_seed(seed, index) < chance] for index in range(request.n)]

    def learn(self, amount: float) -> None:
        """A further version, whose ability is higher by ``amount``."""
        self.abilities.append(self.abilities[-1] + amount)


_ROLLOUTS = [
    Rollout(token_ids=[0, 0], loss_mask=[False, True], logprobs=[0.0, 0.0], reward=reward) for reward in (0.0, 1.0)
]
