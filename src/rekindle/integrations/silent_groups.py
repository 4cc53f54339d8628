"""Whether rollouts of groups without signal count in the means of another trainer's loss."""

from rekindle.config import Config
from rekindle.recipes.grpo import grpo

__all__ = ["counts_silent"]

CHOOSING = ("pool", "refill", "top_up", "subset", "sizes")
"""Tables that choose prompts or rollouts."""


def counts_silent(config: Config) -> bool:
    """Whether rollouts of groups without signal count in the loss's denominators, as they do in the other trainer.

    They do where the recipe leaves the choice of prompts and rollouts alone. Recipes that choose (recycling, refill,
    oversampling, phases, sizes, top-ups, subsets, a gate) train on what they chose, as the native trainer does.
    """
    train, plain = config.train, grpo()
    leaves = all(getattr(config, table) == getattr(plain, table) for table in CHOOSING)
    if config.loss.aggregation == "group_token_mean":  # no mean of the other trainer's
        return False
    return leaves and (train.oversample, train.gate) == (plain.train.oversample, plain.train.gate)
