"""From the tables of a configuration to the parts of a method: scheduler and credit."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from rekindle.config import Config
from rekindle.config.rules.facts import plays_itself
from rekindle.learning.aggregation import named_aggregation
from rekindle.learning.credit import Credit, OffTemperature, Reactivation
from rekindle.learning.estimators import ESTIMATORS, Estimator, shrunk_baseline
from rekindle.learning.subsets import Subset, balanced, max_variance
from rekindle.scheduling import gates, group_sizes, priorities, profiling, temperatures, top_ups
from rekindle.scheduling.belief import Belief
from rekindle.scheduling.history import History
from rekindle.scheduling.pools import (
    CyclingPool,
    GrowingPool,
    Phase,
    PhasedPool,
    Pool,
    PrioritizedPool,
    RecyclingPool,
    SelectivePool,
)
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Refill, Scheduler

__all__ = ["build_credit", "build_scheduler", "needs_profile", "proposer_credit"]


def needs_profile(config: Config) -> bool:
    """Whether the run makes a profile itself when it is not given one."""
    return config.pool.kind == "phased" and config.profile.path is None


def build_scheduler(config: Config, task_ids: Iterable[str], profile: Profile | None = None) -> Scheduler:
    """The scheduler of a configuration, over the prompts with these ids.

    Args:
        config: The run.
        task_ids: Of the pool, in order; not read where the policy makes its tasks in the run.
        profile: Aligned with ``task_ids``; its counts are the first that are believed of each prompt.
    """
    train, refill = config.train, config.refill
    history = History((), _belief(config), growing=True) if plays_itself(config) else History(task_ids, _belief(config))
    if profile is not None:
        history.prime(np.arange(len(history)), profile.successes, profile.samples - profile.successes)
    temperature = _temperature(config)
    return Scheduler(
        _growing(config, _pool(config, history, temperature, profile)),
        groups_per_step=train.groups_per_step,
        rollouts_per_step=train.groups_per_step * train.group_size,
        oversample=train.oversample,
        group_size=_group_size(config),
        temperature=temperature,
        gate=_gate(config),
        refill=Refill(refill.max_rounds, refill.on_exhausted) if refill.max_rounds else None,
        top_up=_top_up(config),
        success_at=config.task.success_threshold,
        seed=train.seed,
    )


def _belief(config: Config) -> Belief:
    table = config.posterior
    return Belief(
        table.prior_successes, table.prior_failures, table.half_life, table.least_discount, table.most_discount
    )


def _gate(config: Config) -> gates.Gate:
    """The gate of the configuration; in self-play nothing passes it while the solver does not learn."""
    gate, table = gates.GATES[config.train.gate], config.self_play
    if not plays_itself(config):
        return gate
    if table.fixed == "solver":
        return gates.nothing
    return lambda group: group.request.step >= table.solver_from_step and gate(group)


def _temperature(config: Config) -> temperatures.Temperature:
    base, heating = config.train.temperature, config.heating
    if not heating.delta:
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


# -- pools ------------------------------------------------------------------------------------------------------------


def _pool(config: Config, history: History, temperature: temperatures.Temperature, profile: Profile | None) -> Pool:
    pool, skip = config.pool, config.skip
    if pool.kind == "recycling":
        return RecyclingPool(history, pool.alpha, pool.on_empty, pool.reset_below)
    if pool.kind == "selective":
        return SelectivePool(history, target=skip.target, easy_part=skip.easy_part, explore=skip.explore)
    if pool.kind == "phased":
        return _phased(config, history, profile)
    if pool.kind == "prioritized":
        return PrioritizedPool(
            history,
            _priority(config, temperature),
            select=config.priority.select,
            consume=config.priority.consume,
            alpha=pool.alpha,
            reset_below=pool.reset_below,
        )
    return CyclingPool(history)


def _growing(config: Config, pool: Pool) -> Pool:
    """The pool, or in self-play one that grows around it."""
    table = config.self_play
    if not plays_itself(config):
        return pool
    assert isinstance(pool, WeightedPool), "every pool that the configuration allows here is one"
    replay, resets = table.fill in {"replay", "replay_reset"}, table.fill == "replay_reset"
    return GrowingPool(pool, replay=replay, reset_every=table.reset_every if resets else None)


def _priority(config: Config, temperature: temperatures.Temperature) -> priorities.Priority:
    table = config.priority
    if table.score == "uncertainty":
        return priorities.uncertainty(table.floor)
    return priorities.signal_chance(
        config.train.group_size,
        temperature,
        estimate=table.estimate,
        floor=table.floor,
        sharpness=table.sharpness,
    )


def _phased(config: Config, history: History, profile: Profile | None) -> PhasedPool:
    if profile is None:
        raise ValueError('pool.kind = "phased" needs a profile; pass one, or start the run with open_run')
    table = config.phases

    def phases(of: Profile) -> list[Phase]:
        chosen = profiling.select(
            of,
            trivial_above=config.profile.trivial_above,
            unsolved_share=config.profile.unsolved_share,
            seed=config.train.seed,
        )
        return profiling.phases(of, chosen, config.sizes.minimum, config.sizes.maximum, config.sizes.rounding)

    def later(seen: History) -> list[Phase]:
        try:
            return phases(_seen_by_the_run(profile, seen))
        except profiling.ProfileError:  # by now nothing is left to learn in a later phase
            return []

    return PhasedPool(
        history,
        phases(profile),
        max_epochs=table.max_epochs,
        patience=table.patience,
        min_gain=table.min_gain,
        smoothing=table.smoothing,
        after_last=table.after_last,
        reprofile=later if table.reprofile else None,
    )


def _seen_by_the_run(profile: Profile, history: History) -> Profile:
    """The profile with what is believed now: the counts of the pass, forgotten by the rule, and those of the run."""
    successes = np.rint(history.beta_successes).astype(np.int64)
    samples = np.maximum(1, successes + np.rint(history.beta_failures).astype(np.int64))
    return replace(profile, successes=successes, samples=samples)


# -- credit -----------------------------------------------------------------------------------------------------------


def build_credit(config: Config) -> Credit:
    """How rewards become advantages."""
    train = config.train
    return Credit(
        estimator=_estimator(config),
        aggregation=named_aggregation(train.aggregation, config.engine.max_new_tokens),
        subset=_subset(config),
        reactivation=_reactivation(config),
        off_temperature=(
            None
            if train.off_temperature == "tempered"
            else OffTemperature(train.off_temperature, train.temperature, train.importance_cap)
        ),
        negative_keep_ratio=train.negative_keep_ratio,
        zero_variance_scale=train.zero_variance_scale,
        tool_tokens=train.tool_tokens == "trained",
        weight=config.self_play.solver_weight,
    )


def proposer_credit(config: Config) -> Credit:
    """How the proposers' rewards become advantages, in self-play."""
    train, table = config.train, config.self_play
    return Credit(
        estimator=ESTIMATORS[table.proposer_estimator],
        aggregation=named_aggregation(train.aggregation, table.max_new_tokens or config.engine.max_new_tokens),
        tool_tokens=train.tool_tokens == "trained",
        weight=table.proposer_weight,
    )


def _estimator(config: Config) -> Estimator:
    if config.train.estimator == "shrunk_baseline":
        return shrunk_baseline(config.train.baseline_strength)
    return ESTIMATORS[config.train.estimator]


def _subset(config: Config) -> Subset | None:
    table, success_at = config.subset, config.task.success_threshold
    if table.kind == "max_variance":
        return Subset(lambda rewards: max_variance(rewards, table.size), table.baseline)
    if table.kind == "balanced":
        return Subset(lambda rewards: balanced(rewards, table.size, success_at), table.baseline)
    return None


def _reactivation(config: Config) -> Reactivation | None:
    table = config.reactivation
    if table.kind == "off":
        return None
    return Reactivation(
        table.kind, config.train.temperature, config.heating.maximum, constant=table.constant, decay=table.decay
    )
