"""Our best combination: single rollouts, a baseline per prompt, and the negative token filter.

Each rollout is compared with its prompt's success rate so far, shrunk towards the batch mean (as in prompt_baseline).
So no rollouts are spent on comparisons within a group, and a rollout has signal unless its outcome was certain. In a
failed rollout only the least likely 15 % of its tokens are penalised (arXiv 2606.17250). Chosen on a
development world of the embedded task; see docs/methods/rekindle.md.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.prompts import PosteriorTable
from rekindle.config.tables.training import TrainTable

__all__ = ["rekindle"]


def rekindle() -> Config:
    """Empirical-Bayes baselines for groups of one, with the token filter on failures."""
    return Config(
        recipe="rekindle",
        posterior=PosteriorTable(prior_successes=0.0, prior_failures=0.0, half_life=4.0),
        train=TrainTable(groups_per_step=256, group_size=1, gate="everything"),
        advantage=AdvantageTable(estimator="shrunk_baseline", negative_keep_ratio=0.15),
        loss=LossTable(aggregation="token_mean"),
    )
