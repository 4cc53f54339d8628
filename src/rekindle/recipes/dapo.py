"""DAPO (arXiv 2503.14476): dynamic sampling, clip-higher and a token mean over the batch.

Draws again within a step until B groups carry signal. The paper's refill loop is unbounded; here it is bounded.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.rollouts import RefillTable

__all__ = ["dapo"]


def dapo() -> Config:
    """Up to four refill rounds, then an update on the groups with signal."""
    return Config(
        recipe="dapo",
        refill=RefillTable(max_rounds=4, on_exhausted="train"),
        loss=LossTable(clip_low=0.2, clip_high=0.28, aggregation="token_mean"),
    )
