"""SPEED-RL (arXiv 2506.09016): screen a prompt with 4 rollouts; sample 20 more where their rewards differ.

A trained group has 24 rollouts, so a step screens 24 prompts: about as many rollouts as other recipes spend.
"""

from rekindle.config import Config
from rekindle.config.tables.rollouts import TopUpTable
from rekindle.config.tables.training import TrainTable

__all__ = ["speed"]


def speed() -> Config:
    """Screening with 4, then 20 more."""
    return Config(
        recipe="speed",
        top_up=TopUpTable(kind="mixed", more=20),
        train=TrainTable(groups_per_step=24, group_size=4),
    )
