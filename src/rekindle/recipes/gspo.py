"""GSPO (arXiv 2507.18071): one importance ratio per sequence, clipped as a whole.

The ratio differs from 1 only after a first optimizer step on the batch, so a batch is split into four minibatches.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable

__all__ = ["gspo"]


def gspo() -> Config:
    """Sequence ratio with the paper's narrow clip."""
    return Config(
        recipe="gspo",
        loss=LossTable(kind="gspo", clip_low=3e-4, clip_high=4e-4, aggregation="sequence_mean"),
        optimizer=OptimizerTable(minibatches=4),
    )
