"""GRPO (arXiv 2402.03300): A = (r - mu) / (sigma + eps) over one group, sigma the group's standard deviation.

Assumes that the group mean is a good baseline for the prompt. The division gives rare outcomes a larger step. Equal
rewards, and so a group of one, give exact zeros. The population standard deviation is ours and sGPO's; the sample
standard deviation is that of TRL, verl and OpenRLHF, with which advantages are smaller by sqrt((n - 1) / n).
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Estimator, per_group
from rekindle.learning.estimators.statistics import EPSILON, Deviation, standardize

__all__ = ["grpo", "grpo_with"]


def grpo(rewards: Sequence[float], deviation: Deviation = "population", epsilon: float = EPSILON) -> list[float]:
    """Advantages [n] of one group's rewards [n]: centred on the group mean, in units of the standard deviation."""
    return standardize(rewards, deviation=deviation, epsilon=epsilon)


def grpo_with(deviation: Deviation = "population", epsilon: float = EPSILON) -> Estimator:
    """The estimator with a kind of standard deviation, and what is added to it."""
    return per_group(
        lambda rewards: grpo(rewards, deviation, epsilon),
        "reward less the group's mean, divided by the group's standard deviation (GRPO)",
    )
