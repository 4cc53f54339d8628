"""REINFORCE++ (arXiv 2501.03262): rewards whitened over the whole batch.

No gate: a batch statistic needs every rollout, also those of groups with equal rewards.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.training import TrainTable

__all__ = ["reinforce_pp"]


def reinforce_pp() -> Config:
    """Batch-standardised rewards with PPO's clip."""
    return Config(
        recipe="reinforce_pp",
        train=TrainTable(gate="everything"),
        advantage=AdvantageTable(estimator="batch_standardize"),
        loss=LossTable(aggregation="token_mean"),
    )
