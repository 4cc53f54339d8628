"""REINFORCE++-baseline (arXiv 2501.03262): rewards minus the group mean, whitened over the batch.

No gate: groups with equal rewards have advantage 0 but count in the batch's standard deviation.
"""

from rekindle.config import Config, TrainTable

__all__ = ["reinforce_pp_baseline"]


def reinforce_pp_baseline() -> Config:
    """Group-centred rewards divided by the standard deviation of the batch."""
    return Config(
        recipe="reinforce_pp_baseline",
        train=TrainTable(estimator="reinforce_pp_baseline", gate="everything", aggregation="token_mean"),
    )
