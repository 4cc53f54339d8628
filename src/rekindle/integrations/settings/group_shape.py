"""Sizes of groups inside another trainer."""

from rekindle.config import Config
from rekindle.config.facts import fewest_and_most, rollouts_per_step
from rekindle.scheduling.pools import POOLS

__all__ = ["largest_group", "sizes_itself", "sizing_rule"]


def largest_group(config: Config) -> int:
    """Most rollouts of a group that are trained on; of groups with a mean size, the mean."""
    if config.subset.kind != "off":
        return config.subset.size
    if config.sizes.rule == "knapsack" or rollouts_per_step(config) is not None:
        return config.train.group_size
    return fewest_and_most(config)[1]


def sizes_itself(config: Config) -> bool:
    """Whether a method gives every group its own size, so that there is no common one."""
    return POOLS[config.pool.kind].sizes_groups or config.sizes.rule == "inverse_success"


def sizing_rule(config: Config) -> str:
    """The setting by which a method sizes groups, e.g. ``pool.kind = "phased"``."""
    phased = config.sizes.rule == "fixed"
    return f'pool.kind = "{config.pool.kind}"' if phased else f'sizes.rule = "{config.sizes.rule}"'
