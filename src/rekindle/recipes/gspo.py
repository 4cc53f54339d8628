"""GSPO (arXiv 2507.18071): one importance ratio per sequence, clipped as a whole.

The ratio differs from 1 only after a first optimizer step on the batch, so a batch is split into four minibatches.
"""

from rekindle.config import Config, TrainTable

__all__ = ["gspo"]


def gspo() -> Config:
    """Sequence ratio with the paper's narrow clip."""
    return Config(
        recipe="gspo",
        train=TrainTable(loss="gspo", minibatches=4, clip_low=3e-4, clip_high=4e-4, aggregation="sequence_mean"),
    )
