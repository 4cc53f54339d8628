"""Engines of a run, from the ``engine`` table."""

from collections.abc import Callable

from rekindle.config import Config
from rekindle.engines.engine import Engine
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy

__all__ = ["EngineFactory", "build_engine"]

EngineFactory = Callable[[Config, Policy], Engine]
"""Makes the engine that samples from a policy; ``build_engine`` where the caller has no other."""


def build_engine(config: Config, policy: Policy) -> Engine:
    """Engine of a configuration; it samples from ``policy``."""
    return TorchEngine(policy, max_rows=config.engine.max_rows)
