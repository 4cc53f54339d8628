"""Sizes of groups inside another trainer, and whether rollouts without signal count in its loss."""

from rekindle.config import Config
from rekindle.config.facts import fewest_and_most, rollouts_per_step
from rekindle.integrations.settings.links import PLAIN
from rekindle.scheduling.pools import POOLS

__all__ = ["counts_silent", "largest_group", "sizes_itself", "sizing_rule"]


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


def counts_silent(config: Config) -> bool:
    """Whether rollouts of groups without signal count in the loss's denominators, as they do in other trainers.

    They do where the recipe leaves the choice of prompts and rollouts alone. Recipes that choose (recycling, refill,
    oversampling, phases, sizes, top-ups, subsets, a gate) train on what they chose, as the native trainer does.
    """
    train, plain = config.train, PLAIN
    chosen = ("pool", "refill", "top_up", "subset", "sizes")
    leaves = all(getattr(config, table) == getattr(plain, table) for table in chosen)
    return leaves and (train.oversample, train.gate) == (plain.train.oversample, plain.train.gate)
