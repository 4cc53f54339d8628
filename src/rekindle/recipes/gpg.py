"""GPG (arXiv 2504.02546): plain centred rewards, made up for the groups that taught nothing.

Unanimous groups stay in the batch's denominators, and the advantages are multiplied by B / (B - M) in return.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.training import TrainTable

__all__ = ["gpg"]


def gpg() -> Config:
    """Centred rewards times (groups) / (groups with signal)."""
    return Config(
        recipe="gpg",
        train=TrainTable(gate="everything"),
        advantage=AdvantageTable(estimator="gpg"),
        loss=LossTable(aggregation="token_mean"),
    )
