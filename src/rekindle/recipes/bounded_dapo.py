"""Bounded DAPO: GRPO that draws k = 2 times as many prompts as needed and trains on at most B groups with signal.

The control arm of query recycling (arXiv 2606.10709): the same oversampling, but every drawn prompt is consumed.
"""

from rekindle.config import Config
from rekindle.config.tables.training import TrainTable

__all__ = ["bounded_dapo"]


def bounded_dapo() -> Config:
    """GRPO with k = 2 and no refill."""
    return Config(recipe="bounded_dapo", train=TrainTable(oversample=2))
