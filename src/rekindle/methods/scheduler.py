"""Construction of schedulers from a configuration: pool, group sizes, temperatures, gate, refill and top-ups."""

from collections.abc import Iterable

import numpy as np

from rekindle.config import Config
from rekindle.config.facts import rollouts_per_step
from rekindle.methods.pools import build_pool
from rekindle.methods.task_flow import task_flow
from rekindle.scheduling import gates, group_sizes, temperatures, top_ups
from rekindle.scheduling.belief import Belief
from rekindle.scheduling.pools import POOLS
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.refills import Refill
from rekindle.scheduling.scheduler import Scheduler

__all__ = ["build_scheduler", "needs_profile"]


def needs_profile(config: Config) -> bool:
    """Whether the run has to make a profile: its pool needs one and ``profile.path`` is not set."""
    return POOLS[config.pool.kind].needs_profile and config.profile.path is None


def build_scheduler(config: Config, task_ids: Iterable[str], profile: Profile | None = None) -> Scheduler:
    """The scheduler of a configuration, over the prompts with these ids.

    Args:
        config: The run.
        task_ids: Ids of the pool's tasks, in order; not read in self-play.
        profile: Aligned with ``task_ids``; its counts initialize the posterior of each prompt.
    """
    train, refill, flow = config.train, config.refill, task_flow(config)
    history = flow.history(task_ids, _belief(config))
    if profile is not None:
        history.prime(np.arange(len(history)), profile.successes, profile.samples - profile.successes)
    temperature = _temperature(config)
    return Scheduler(
        flow.pool(build_pool(config, history, temperature, profile)),
        groups_per_step=train.groups_per_step,
        rollouts_per_step=rollouts_per_step(config),
        oversample=train.oversample,
        group_size=_group_size(config),
        temperature=temperature,
        gate=flow.gate(gates.GATES[train.gate].passes),
        refill=Refill(refill.max_rounds, refill.on_exhausted) if refill.max_rounds else None,
        top_up=_top_up(config),
        max_off_policy_steps=train.max_off_policy_steps,
        success_at=config.task.success_threshold,
        seed=train.seed,
    )


def _belief(config: Config) -> Belief:
    table = config.posterior
    return Belief(
        table.prior_successes, table.prior_failures, table.half_life, table.least_discount, table.most_discount
    )


def _temperature(config: Config) -> temperatures.Temperature:
    base, heating = config.train.temperature, config.heating
    if not heating.delta and not config.reactivation.decay:  # which divides by the streak that this rule counts
        return temperatures.fixed(base)
    return temperatures.residual_heating(base, heating.delta, heating.maximum, heating.on_signal)


def _group_size(config: Config) -> group_sizes.GroupSize:
    sizes, n = config.sizes, config.train.group_size
    if sizes.rule == "inverse_success":
        return group_sizes.inverse_success(sizes.minimum, sizes.maximum, sizes.rounding)
    if sizes.rule == "knapsack":
        return group_sizes.knapsack(n, sizes.minimum, sizes.maximum)
    return group_sizes.fixed(n)


def _top_up(config: Config) -> top_ups.TopUp | None:
    table = config.top_up
    if table.kind == "mixed":
        return top_ups.continue_mixed(table.more)
    if table.kind == "balance":
        return top_ups.until_balanced(
            config.subset.size, config.train.group_size, table.max_rounds, config.task.success_threshold
        )
    return None
