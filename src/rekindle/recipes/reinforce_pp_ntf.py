"""REINFORCE++ with negative token filtering (arXiv 2501.03262, 2606.17250): single rollouts, whitened over the batch.

Like c_rf_ntf, with batch-standardised rewards and PPO's clip.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.training import TrainTable

__all__ = ["reinforce_pp_ntf"]


def reinforce_pp_ntf() -> Config:
    """Batch-standardised single rollouts with the token filter."""
    return Config(
        recipe="reinforce_pp_ntf",
        train=TrainTable(groups_per_step=256, group_size=1, gate="everything"),
        advantage=AdvantageTable(estimator="batch_standardize", negative_keep_ratio=0.1),
        loss=LossTable(clip_high=10.0, aggregation="sequence_mean"),
    )
