"""Advantage estimators: pure functions from rewards to advantages, one number per rollout.

An estimator compares the rollouts of one group, or all rollouts of the batch; ``Estimator.scope`` says which. None of
them looks at tokens. Rewards count as equal when the largest is not above the smallest: a standard deviation is never
asked, because rounding can make it positive for equal rewards. Equal rewards give exact zeros.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["ESTIMATORS", "Estimator", "batch_standardize", "dr_grpo", "grpo", "rloo"]

EPSILON = 1e-8
"""Added to a standard deviation. Rewards that differ by rounding only (1e-16) then stay far below any real advantage,
and those of a real group keep seven digits."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """A function of rewards, and which rewards it wants to see together.

    Attributes:
        function: ``Sequence[float] -> list[float]``, one advantage per reward, in order.
        scope: "group": called once per group. "batch": called once with the rewards of every rollout of the batch.
    """

    function: Callable[[Sequence[float]], list[float]]
    scope: Literal["group", "batch"]


def grpo(rewards: Sequence[float]) -> list[float]:
    """A = (r - mu) / (sigma + eps) over one group, sigma the population standard deviation (arXiv 2402.03300).

    Assumes that the group's mean is a fair baseline for its prompt; the division gives rare outcomes a larger step.
    Equal rewards, and so a group of one, give exact zeros.
    """
    return _standardize(rewards)


def dr_grpo(rewards: Sequence[float]) -> list[float]:
    """A = r - mu over one group (arXiv 2503.20783): GRPO without the division that overweights nearly solved prompts.

    Belongs with the ``constant_length`` aggregation. Equal rewards, and so a group of one, give exact zeros.
    """
    if _all_equal(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    return [reward - mean for reward in rewards]


def rloo(rewards: Sequence[float]) -> list[float]:
    """A = K / (K - 1) * (r - mu): each reward minus the mean of the other K - 1 (arXiv 2402.14740).

    Unbiased, since no rollout is in its own baseline. Equal rewards give exact zeros; a group of one has no others to
    compare with and gives [0.0].
    """
    if len(rewards) <= 1:
        return [0.0] * len(rewards)
    scale = len(rewards) / (len(rewards) - 1)
    return [scale * advantage for advantage in dr_grpo(rewards)]


def batch_standardize(rewards: Sequence[float]) -> list[float]:
    """A = (r - mean) / (std + eps) over the whole batch (REINFORCE++, arXiv 2501.03262).

    Works with one rollout per prompt. Assumes that one baseline suits every prompt, so easy prompts are pushed up and
    hard ones down. A batch of equal rewards gives exact zeros.
    """
    return _standardize(rewards)


ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "grpo": Estimator(grpo, "group"),
        "dr_grpo": Estimator(dr_grpo, "group"),
        "rloo": Estimator(rloo, "group"),
        "batch_standardize": Estimator(batch_standardize, "batch"),
    }
)
"""The estimators by their names in ``train.estimator``."""


def _all_equal(rewards: Sequence[float]) -> bool:
    return not rewards or not max(rewards) > min(rewards)


def _standardize(rewards: Sequence[float]) -> list[float]:
    if _all_equal(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    deviation = math.sqrt(math.fsum((reward - mean) ** 2 for reward in rewards) / len(rewards))
    return [(reward - mean) / (deviation + EPSILON) for reward in rewards]
