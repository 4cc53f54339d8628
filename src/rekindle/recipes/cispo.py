"""CISPO (arXiv 2506.13585): importance weights are clipped instead of tokens; every token keeps its gradient.

The weight differs from 1 only after a first optimizer step on the batch, so a batch is split into four minibatches.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable

__all__ = ["cispo"]


def cispo() -> Config:
    """REINFORCE with the importance weight bounded by 5."""
    return Config(
        recipe="cispo",
        loss=LossTable(kind="cispo", clip_high=4.0, aggregation="token_mean"),
        optimizer=OptimizerTable(minibatches=4),
    )
