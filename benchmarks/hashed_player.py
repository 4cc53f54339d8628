"""A simulated policy that holds nothing per prompt, for measurements of the scheduler's memory."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.seeding import mixed_seed
from rekindle.types import Group, GroupRequest, Rollout

__all__ = ["HashedPlayer"]

PROMPT_TOKENS = 256
LENGTHS = tuple(128 * 2**power for power in range(8))
"""Lengths of the rollouts that are told, in tokens."""
RATES = 4096
NEVER, ALWAYS = 0.15, 0.15
"""Shares of prompts that the start policy never and always solves."""


class HashedPlayer:
    """A simulated policy: a pass rate per prompt, by a hash of its row, whose odds rise by ``gain`` per update.

    It holds nothing per prompt. Rollouts are shared objects with token lists of realistic length.

    Args:
        gain: Rise of every prompt's log-odds per update.
        prompt_tokens: Tokens of a prompt.
        lengths: Lengths of the rollouts that are told, rising; a rollout has the first that is not below its own.
    """

    def __init__(
        self, gain: float = 0.01, prompt_tokens: int = PROMPT_TOKENS, lengths: Sequence[int] = LENGTHS
    ) -> None:
        quantiles = np.clip((np.arange(RATES) / RATES - NEVER) / (1 - NEVER - ALWAYS), 0.0, 1.0)
        with np.errstate(divide="ignore"):
            self._logits = 6.0 * (quantiles - 0.5) + np.log(quantiles > 0) - np.log(quantiles < 1)
        self._gain = gain
        self._rates: dict[int, list[float]] = {}
        self._lengths = lengths
        self._rollouts = [[_rollout(prompt_tokens, length, reward) for length in lengths] for reward in (0.0, 1.0)]

    def play(self, request: GroupRequest, tokens: Sequence[float]) -> list[Rollout]:
        """Rollouts of these lengths; rewards depend on the request's seed alone."""
        rate = self._rates_of(request.version)[mixed_seed(1, request.row) % RATES]
        wins = [mixed_seed(request.seed, index) < rate * 2.0**63 for index in range(request.n)]
        last = len(self._lengths) - 1
        places = [min(bisect_left(self._lengths, length), last) for length in tokens]
        return [self._rollouts[win][place] for win, place in zip(wins, places, strict=True)]

    def update(self, groups: Sequence[Group]) -> None:
        """Nothing: the odds rise with the version."""

    def record(self, records: Sequence[GroupRecord]) -> None:
        """Nothing."""

    def _rates_of(self, version: int) -> list[float]:
        if version not in self._rates:
            self._rates[version] = (1.0 / (1.0 + np.exp(-(self._logits + self._gain * version)))).tolist()
        return self._rates[version]


def _rollout(prompt: int, length: int, reward: float) -> Rollout:
    mask = [False] * prompt + [True] * length
    return Rollout(token_ids=[7] * len(mask), loss_mask=mask, logprobs=[-0.5] * len(mask), reward=reward)
