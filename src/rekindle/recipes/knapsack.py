"""Knapsack RL (arXiv 2509.25849): the rollouts of a step are allocated to prompts by expected learning value.

Maximises the sum of [1 - p^N - (1-p)^N] p (1-p)^2 over the prompts of the step, 2 <= N <= 128, at equal rollouts; p
is the posterior mean of the run's own counts.
"""

from rekindle.config import Config
from rekindle.config.tables.rollouts import SizesTable

__all__ = ["knapsack"]


def knapsack() -> Config:
    """Group sizes that maximise the expected learning value."""
    return Config(
        recipe="knapsack",
        sizes=SizesTable(rule="knapsack", minimum=2, maximum=128),
    )
