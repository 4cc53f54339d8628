"""RLOO (arXiv 2402.14740): each rollout is compared with the mean of the others in its group."""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable

__all__ = ["rloo"]


def rloo() -> Config:
    """Leave-one-out baseline, mean over sequences."""
    return Config(
        recipe="rloo", advantage=AdvantageTable(estimator="rloo"), loss=LossTable(aggregation="sequence_mean")
    )
