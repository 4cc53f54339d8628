"""Rules about batches that lag behind the policy (``train.max_off_policy_steps``)."""

from collections.abc import Iterator

from rekindle.config.facts import plays_itself
from rekindle.config.tables import Config
from rekindle.scheduling.pools import POOLS

__all__ = [
    "lagging_batches_are_corrected",
    "proposals_wait_for_the_update",
    "steps_ahead_are_trained_on",
    "steps_in_flight_have_one_rule",
]


def lagging_batches_are_corrected(config: Config) -> Iterator[str]:
    """Batches that lag behind, as if the policy before the update had sampled them."""
    if config.train.max_off_policy_steps and config.loss.old_logprobs == "recompute" and not config.loss.tis_cap:
        yield (
            f'{_lag(config)} trains on rollouts of earlier policies, and loss.old_logprobs = "recompute" without '
            'loss.tis_cap takes them for rollouts of the policy before the update; set loss.old_logprobs = "auto" or '
            "loss.tis_cap = 2.0"
        )


def steps_ahead_are_trained_on(config: Config) -> Iterator[str]:
    """A run that ends before the first batch that lags behind by as much as it may."""
    steps = config.train.steps
    if steps is not None and config.train.max_off_policy_steps >= steps:
        yield f"{_lag(config)} samples more steps ahead than train.steps = {steps} has; set it below {steps}"


def steps_in_flight_have_one_rule(config: Config) -> Iterator[str]:
    """Phases, or a stop at the end of a refill, where steps before and after are in flight together."""
    if not config.train.max_off_policy_steps:
        return
    if POOLS[config.pool.kind].sizes_groups:
        yield (
            f'pool.kind = "{config.pool.kind}" begins a phase between two steps, and {_lag(config)} has several steps '
            "in flight; set train.max_off_policy_steps = 0 or another pool.kind"
        )
    if config.refill.max_rounds and config.refill.on_exhausted == "stop":
        yield (
            f'refill.on_exhausted = "stop" ends the run while {_lag(config)} has earlier steps in flight, whose '
            'groups would be lost; set refill.on_exhausted = "train" or train.max_off_policy_steps = 0'
        )


def proposals_wait_for_the_update(config: Config) -> Iterator[str]:
    """Self-play with steps in flight: questions of a step are made by the policy after the step before."""
    if plays_itself(config) and config.train.max_off_policy_steps:
        yield (
            f'{_lag(config)} samples steps ahead, and the questions of task.source = "self_play" are made when '
            "the step before is trained on; set train.max_off_policy_steps = 0"
        )


def _lag(config: Config) -> str:
    return f"train.max_off_policy_steps = {config.train.max_off_policy_steps}"
