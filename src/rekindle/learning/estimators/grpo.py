"""GRPO (arXiv 2402.03300): A = (r - mu) / (sigma + eps) over one group, sigma the population standard deviation.

Assumes that the group mean is a good baseline for the prompt. The division gives rare outcomes a larger step. Equal
rewards, and so a group of one, give exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.statistics import standardize

__all__ = ["grpo"]


def grpo(rewards: Sequence[float]) -> list[float]:
    """Advantages [n] of one group's rewards [n]: centred on the group mean, in units of the standard deviation."""
    return standardize(rewards)
