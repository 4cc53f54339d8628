"""What follows from a configuration, for several rules."""

from rekindle.config.tables import Config

__all__ = [
    "BATCH_ESTIMATORS",
    "fewest_and_most",
    "invents_its_world",
    "optimizer_steps",
    "plays_itself",
    "plays_search",
]

BATCH_ESTIMATORS = ("batch_standardize", "c_rf", "spo", "shrunk_baseline", "reinforce", "batch_centred")
"""Estimators that need no second rollout of the same prompt."""


def fewest_and_most(config: Config) -> tuple[int, int]:
    """The fewest and the most rollouts that a group can have in the end, top-ups included."""
    n, sizes, top_up = config.train.group_size, config.sizes, config.top_up
    sized = sizes.rule != "fixed" or config.pool.kind == "phased"
    fewest, most = (sizes.minimum, sizes.maximum) if sized else (n, n)
    if top_up.kind == "mixed":
        return fewest, most + top_up.more if most > 1 else 1
    if top_up.kind == "balance":  # ends with one right and one wrong at the earliest, or after two rounds and more
        return max(2, fewest), most + (top_up.max_rounds - 1) * n
    return fewest, most


def optimizer_steps(config: Config) -> int:
    """Optimizer steps per batch."""
    return config.train.epochs * config.train.minibatches


def plays_search(config: Config) -> bool:
    """Whether tasks are played by a search agent."""
    task = config.task
    searches = task.source in {"search_world", "self_play"}
    return task.environment == "search" or (task.environment == "auto" and searches)


def plays_itself(config: Config) -> bool:
    """Whether the policy proposes its tasks itself."""
    return config.task.source == "self_play"


def invents_its_world(config: Config) -> bool:
    """Whether what is searched is the embedded search world."""
    return config.task.source == "search_world" or (plays_itself(config) and config.task.path is None)
