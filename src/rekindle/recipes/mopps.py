"""MoPPS (arXiv 2507.04632): trains on the prompts whose sampled success rate is nearest to one half.

Each prompt has a Beta posterior whose counts are halved at each visit; the success rate is a Thompson sample of it.
"""

from rekindle.config import Config
from rekindle.config.tables.prompts import PoolTable, PosteriorTable, PriorityTable

__all__ = ["mopps"]


def mopps() -> Config:
    """Thompson sampling of prompts of intermediate difficulty."""
    return Config(
        recipe="mopps",
        pool=PoolTable(kind="prioritized"),
        priority=PriorityTable(estimate="sample", select="best", floor=0.0),
        posterior=PosteriorTable(prior_successes=1.0, prior_failures=1.0, least_discount=0.5, most_discount=0.5),
    )
