"""GPG (arXiv 2504.02546): centred rewards, rescaled to compensate for groups without signal.

Groups with equal rewards stay in the batch's denominators; in return the advantages are multiplied by B / (B - M).
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
