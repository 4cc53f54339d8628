"""GPG (arXiv 2504.02546): plain centred rewards, made up for the groups that taught nothing.

Unanimous groups stay in the batch's denominators, and the advantages are multiplied by B / (B - M) in return.
"""

from rekindle.config import Config, TrainTable

__all__ = ["gpg"]


def gpg() -> Config:
    """Centred rewards times (groups) / (groups with signal)."""
    return Config(
        recipe="gpg",
        train=TrainTable(estimator="gpg", gate="everything", aggregation="token_mean"),
    )
