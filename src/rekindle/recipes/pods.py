"""PODS (arXiv 2504.13818): sample 16 rollouts, train on the 4 whose rewards differ most.

Saves training, not generation: useful where rollouts are cheap compared with updates.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import SubsetTable
from rekindle.config.tables.training import TrainTable

__all__ = ["pods"]


def pods() -> Config:
    """Down-sampling to the subset of greatest variance."""
    return Config(
        recipe="pods",
        subset=SubsetTable(kind="max_variance", size=4),
        train=TrainTable(groups_per_step=16, group_size=16),
    )
