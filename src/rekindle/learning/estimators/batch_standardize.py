"""REINFORCE++ (arXiv 2501.03262): A = (r - mean) / (std + eps) over the whole batch.

Mean and standard deviation are over what the loss is a mean of: over tokens (each token has its rollout's reward, so
long rollouts count more) with a mean over tokens, as the authors' code, verl and OpenRLHF do; over rollouts with a mean
per rollout. The advantages that enter the loss then sum to 0. Rewards centred over rollouts in a mean over tokens would
not: failures are often the longer ones, and the net push would be negative.

Works with one rollout per prompt. Assumes one baseline for all prompts, so easy prompts are pushed up and hard ones
down. A batch of equal rewards gives exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Estimator, over_units
from rekindle.learning.estimators.statistics import EPSILON, Deviation, standardize

__all__ = ["batch_standardize", "batch_standardize_with"]


def batch_standardize(
    rewards: Sequence[float],
    units: Sequence[float] | None = None,
    deviation: Deviation = "population",
    epsilon: float = EPSILON,
) -> list[float]:
    """Advantages [M] of a batch's rewards [M]: centred on the batch mean, in units of the standard deviation.

    Args:
        rewards: [M].
        units: [M] how often each rollout counts (see ``Compared``); None: once.
        deviation: The kind of standard deviation.
        epsilon: Added to it.
    """
    return standardize(rewards, units, deviation, epsilon)


def batch_standardize_with(deviation: Deviation = "population", epsilon: float = EPSILON) -> Estimator:
    """The estimator with a kind of standard deviation, and what is added to it."""
    return over_units(
        lambda rewards, units: batch_standardize(rewards, units, deviation, epsilon),
        "reward less the batch's mean, divided by the batch's standard deviation (REINFORCE++)",
    )
