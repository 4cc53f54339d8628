"""Reinforce-Ada (arXiv 2510.04996): up to 4 rounds of 8 rollouts, until 4 right and 4 wrong ones are found.

Trains on a balanced subset of 8; the baseline uses all rollouts drawn.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import SubsetTable
from rekindle.config.tables.rollouts import TopUpTable
from rekindle.config.tables.training import TrainTable

__all__ = ["reinforce_ada"]


def reinforce_ada() -> Config:
    """Adaptive rounds and a balanced subset."""
    return Config(
        recipe="reinforce_ada",
        top_up=TopUpTable(kind="balance", max_rounds=4),
        subset=SubsetTable(kind="balanced", size=8, baseline="all"),
        train=TrainTable(groups_per_step=16, group_size=8),
    )
