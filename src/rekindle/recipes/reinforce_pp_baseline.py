"""REINFORCE++-baseline (arXiv 2501.03262): rewards minus their group's mean, whitened over the batch.

No gate: unanimous groups have no advantage of their own but count in the batch's standard deviation.
"""

from rekindle.config import Config, TrainTable

__all__ = ["reinforce_pp_baseline"]


def reinforce_pp_baseline() -> Config:
    """Group-centred rewards divided by the standard deviation of the batch."""
    return Config(
        recipe="reinforce_pp_baseline",
        train=TrainTable(estimator="reinforce_pp_baseline", gate="everything", aggregation="token_mean"),
    )
