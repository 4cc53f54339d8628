"""REINFORCE++-baseline (arXiv 2501.03262): rewards minus the group mean, whitened over the batch.

No gate: groups with equal rewards have advantage 0 but count in the batch's standard deviation.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.training import TrainTable

__all__ = ["reinforce_pp_baseline"]


def reinforce_pp_baseline() -> Config:
    """Group-centred rewards divided by the standard deviation of the batch."""
    return Config(
        recipe="reinforce_pp_baseline",
        train=TrainTable(gate="everything"),
        advantage=AdvantageTable(estimator="reinforce_pp_baseline"),
        loss=LossTable(aggregation="token_mean"),
    )
