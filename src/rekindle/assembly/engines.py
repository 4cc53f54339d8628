"""Engines of a run and their sampling limits, from the ``engine`` table."""

from collections.abc import Callable

from rekindle.config import Config
from rekindle.engines.engine import Engine, SamplingLimits
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy

__all__ = ["EngineFactory", "build_engine", "sampling_limits"]

EngineFactory = Callable[[Config, Policy], Engine]
"""Makes the engine that samples from a policy; ``build_engine`` where the caller has no other."""


def build_engine(config: Config, policy: Policy) -> Engine:
    """Engine of a configuration; it samples from ``policy``."""
    return TorchEngine(policy, max_rows=config.engine.max_rows)


def sampling_limits(config: Config, context: int) -> SamplingLimits:
    """Sampling limits of a completion.

    Args:
        config: The complete configuration.
        context: Context length of the model in tokens.
    """
    table = config.engine
    return SamplingLimits(
        max_new_tokens=table.max_new_tokens,
        context=context,
        top_p=table.top_p,
        min_p=table.min_p,
        stop=table.stop,
    )
