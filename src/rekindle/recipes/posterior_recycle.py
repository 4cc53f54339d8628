"""Posterior recycling (ours): prompts are drawn by the posterior chance that their group will carry signal.

The chance follows from the prompt's own Beta counts, which are forgotten as the policy moves; a floor keeps exploring.
Unlike recycling it never runs dry, as nothing is consumed.
"""

from rekindle.config import Config, PoolTable, PosteriorTable, PriorityTable

__all__ = ["posterior_recycle"]


def posterior_recycle() -> Config:
    """Draws in proportion to 1 - E[p^K] - E[(1-p)^K]."""
    return Config(
        recipe="posterior_recycle",
        pool=PoolTable(kind="prioritized"),
        priority=PriorityTable(floor=0.05),
        posterior=PosteriorTable(half_life=0.1),
    )
