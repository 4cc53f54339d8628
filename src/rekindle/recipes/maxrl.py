"""MaxRL: rewards minus the group mean, divided by it, so that rare successes weigh most.

With more samples the gradient approaches that of log p, p the probability of success.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable

__all__ = ["maxrl"]


def maxrl() -> Config:
    """(r - mean) / mean within a group."""
    return Config(
        recipe="maxrl",
        advantage=AdvantageTable(estimator="maxrl"),
        loss=LossTable(aggregation="sequence_mean"),
    )
