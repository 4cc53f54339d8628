"""Engines of a run, and the limits within which they sample: from the ``engine`` table."""

from collections.abc import Callable

from rekindle.config import Config
from rekindle.engines.engine import Engine, SamplingLimits
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy

__all__ = ["EngineFactory", "build_engine", "sampling_limits"]

EngineFactory = Callable[[Config, Policy], Engine]
"""Makes the engine that samples from a policy; ``build_engine`` unless a caller brings another one."""


def build_engine(config: Config, policy: Policy) -> Engine:
    """The engine of a configuration, which samples from ``policy``."""
    return TorchEngine(policy, max_rows=config.engine.max_rows)


def sampling_limits(config: Config, context: int) -> SamplingLimits:
    """The limits of a completion.

    Args:
        config: The run.
        context: Most tokens that the model can hold.
    """
    table = config.engine
    return SamplingLimits(
        max_new_tokens=table.max_new_tokens,
        context=context,
        top_p=table.top_p,
        min_p=table.min_p,
        stop=table.stop,
    )
