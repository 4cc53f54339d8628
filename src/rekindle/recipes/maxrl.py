"""MaxRL: rewards minus their mean, divided by the mean, so that rare successes count most.

The more samples, the nearer the gradient is to that of log p, the likelihood of a success.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable

__all__ = ["maxrl"]


def maxrl() -> Config:
    """(r - mean) / mean inside a group."""
    return Config(
        recipe="maxrl",
        advantage=AdvantageTable(estimator="maxrl"),
        loss=LossTable(aggregation="sequence_mean"),
    )
