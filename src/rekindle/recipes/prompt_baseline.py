"""Single rollouts with a baseline per prompt, shrunk towards the batch mean (ours).

The baseline is the posterior mean of the prompt's success rate under a prior centred on the batch's mean reward. A new
prompt is compared with the batch, as in REINFORCE++; a prompt with many visits with its own history, as in SPO.
"""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.prompts import PosteriorTable
from rekindle.config.tables.training import TrainTable

__all__ = ["prompt_baseline"]


def prompt_baseline() -> Config:
    """Empirical-Bayes baselines for groups of one."""
    return Config(
        recipe="prompt_baseline",
        posterior=PosteriorTable(prior_successes=0.0, prior_failures=0.0, half_life=4.0),
        train=TrainTable(groups_per_step=256, group_size=1, gate="everything"),
        advantage=AdvantageTable(estimator="shrunk_baseline"),
        loss=LossTable(aggregation="token_mean"),
    )
