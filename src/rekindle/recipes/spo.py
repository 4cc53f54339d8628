"""SPO (arXiv 2509.13232): single rollouts with a tracked success rate per prompt as baseline.

The tracker is a Beta count that decays as the policy changes. Its mean p is the baseline, and sqrt(p (1 - p)) + 0.05
the prompt's weight in the draw. A profile (profile.path) initialises the tracker; without one it starts at 1/2.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.prompts import PoolTable, PosteriorTable, PriorityTable
from rekindle.config.tables.training import TrainTable

__all__ = ["spo"]


def spo() -> Config:
    """A tracked baseline per prompt, normalised over the batch."""
    return Config(
        recipe="spo",
        pool=PoolTable(kind="prioritized"),
        priority=PriorityTable(score="uncertainty", floor=0.05),
        posterior=PosteriorTable(half_life=0.06, least_discount=0.875, most_discount=0.96),
        train=TrainTable(groups_per_step=256, group_size=1, gate="everything"),
        advantage=AdvantageTable(estimator="spo"),
        loss=LossTable(aggregation="token_mean"),
    )
