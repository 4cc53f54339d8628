"""Posterior recycling (ours): prompts are drawn by the posterior chance that their group will carry signal.

The chance follows from the prompt's own Beta counts, which are forgotten as the policy moves; a floor keeps exploring.
Unlike recycling it never runs dry, as nothing is consumed. The prior is U-shaped, as the success rates of a policy are:
Beta(1/4, 1/4) gives an unseen prompt a chance of signal of 0.30 at groups of four. Half-life and sharpness were chosen
on a development world of the embedded task.
"""

from rekindle.config import Config
from rekindle.config.tables.prompts import PoolTable, PosteriorTable, PriorityTable

__all__ = ["posterior_recycle"]


def posterior_recycle() -> Config:
    """Draws in proportion to (1 - E[p^K] - E[(1-p)^K])^2."""
    return Config(
        recipe="posterior_recycle",
        pool=PoolTable(kind="prioritized"),
        priority=PriorityTable(floor=0.05, sharpness=2.0),
        posterior=PosteriorTable(prior_successes=0.25, prior_failures=0.25, half_life=4.0),
    )
