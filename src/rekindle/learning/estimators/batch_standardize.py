"""REINFORCE++ (arXiv 2501.03262): A = (r - mean) / (std + eps) over the whole batch.

Works with one rollout per prompt. Assumes one baseline for all prompts, so easy prompts are pushed up and hard ones
down. A batch of equal rewards gives exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.statistics import standardize

__all__ = ["batch_standardize"]


def batch_standardize(rewards: Sequence[float]) -> list[float]:
    """Advantages [M] of a batch's rewards [M]: centred on the batch mean, in units of the standard deviation."""
    return standardize(rewards)
