"""Construction of pools from a configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from rekindle.config import Config
from rekindle.scheduling import priorities, profiling, temperatures
from rekindle.scheduling.history import History
from rekindle.scheduling.pools import (
    CyclingPool,
    Phase,
    PhasedPool,
    Pool,
    PrioritizedPool,
    RecyclingPool,
    SelectivePool,
)
from rekindle.scheduling.profiling import Profile

__all__ = ["BUILDERS", "PoolParts", "build_pool"]


@dataclass(frozen=True, slots=True)
class PoolParts:
    """Arguments of a pool that are not in the configuration."""

    history: History
    temperature: temperatures.Temperature
    profile: Profile | None


def build_pool(
    config: Config, history: History, temperature: temperatures.Temperature, profile: Profile | None
) -> Pool:
    """The pool of ``pool.kind``."""
    return BUILDERS[config.pool.kind](config, PoolParts(history, temperature, profile))


def _cycling(config: Config, parts: PoolParts) -> Pool:
    return CyclingPool(parts.history)


def _recycling(config: Config, parts: PoolParts) -> Pool:
    pool = config.pool
    return RecyclingPool(parts.history, pool.alpha, pool.on_empty, pool.reset_below)


def _prioritized(config: Config, parts: PoolParts) -> Pool:
    return PrioritizedPool(
        parts.history,
        _priority(config, parts.temperature),
        select=config.priority.select,
        consume=config.priority.consume,
        alpha=config.pool.alpha,
        reset_below=config.pool.reset_below,
    )


def _selective(config: Config, parts: PoolParts) -> Pool:
    skip = config.skip
    return SelectivePool(parts.history, target=skip.target, easy_part=skip.easy_part, explore=skip.explore)


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


def _phased(config: Config, parts: PoolParts) -> PhasedPool:
    profile = parts.profile
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
        except profiling.ProfileError:  # no learnable prompt is left for a later phase
            return []

    try:
        first = phases(profile)
    except profiling.ProfileError as error:
        raise profiling.ProfileError(f"{error} (keys of [profile])") from None
    return PhasedPool(
        parts.history,
        first if table.order == "easy_first" else first[::-1],
        max_epochs=table.max_epochs,
        repeats=table.repeats,
        patience=table.patience,
        min_gain=table.min_gain,
        smoothing=table.smoothing,
        after_last=table.after_last,
        reprofile=later if table.reprofile else None,
    )


def _seen_by_the_run(profile: Profile, history: History) -> Profile:
    """The profile with the present posterior counts: those of the pass, discounted, plus those of the run."""
    successes = np.rint(history.beta_successes).astype(np.int64)
    samples = np.maximum(1, successes + np.rint(history.beta_failures).astype(np.int64))
    return replace(profile, successes=successes, samples=samples)


BUILDERS: Mapping[str, Callable[[Config, PoolParts], Pool]] = MappingProxyType(
    {
        "cycling": _cycling,
        "recycling": _recycling,
        "prioritized": _prioritized,
        "selective": _selective,
        "phased": _phased,
    }
)
"""Constructor of each pool of ``rekindle.scheduling.pools.POOLS`` from its keys."""
