"""Soft query recycling (arXiv 2606.10709): a trained prompt keeps a tenth of its weight in the draw."""

from rekindle.config import Config
from rekindle.config.tables.prompts import PoolTable
from rekindle.config.tables.training import TrainTable

__all__ = ["soft_recycle"]


def soft_recycle() -> Config:
    """Recycling with w = 0.1 after training."""
    return Config(
        recipe="soft_recycle",
        pool=PoolTable(kind="recycling", alpha=0.1, reset_below=0.25),
        train=TrainTable(oversample=2),
    )
