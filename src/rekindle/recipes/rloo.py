"""RLOO (arXiv 2402.14740): each rollout is compared with the mean of the others in its group."""

from rekindle.config import Config, TrainTable

__all__ = ["rloo"]


def rloo() -> Config:
    """Leave-one-out baseline, mean over sequences."""
    return Config(recipe="rloo", train=TrainTable(estimator="rloo", aggregation="sequence_mean"))
