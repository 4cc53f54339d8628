"""C-RF with negative token filtering (arXiv 2606.17250): single rollouts, successes against failures of the batch.

No groups: 256 prompts, one rollout each. In a failed rollout only the least likely tenth of its tokens is penalised,
because without a group nothing offsets the penalty on tokens that right and wrong answers share.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.training import TrainTable

__all__ = ["c_rf_ntf"]


def c_rf_ntf() -> Config:
    """Contrastive REINFORCE over a batch of single rollouts."""
    return Config(
        recipe="c_rf_ntf",
        train=TrainTable(groups_per_step=256, group_size=1, gate="everything"),
        advantage=AdvantageTable(estimator="c_rf", negative_keep_ratio=0.1),
        loss=LossTable(clip_high=10.0, aggregation="sequence_mean"),
    )
