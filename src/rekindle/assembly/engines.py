"""The one place where an engine is made."""

from rekindle.config import Config
from rekindle.engines.engine import Engine
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy

__all__ = ["build_engine"]


def build_engine(config: Config, policy: Policy) -> Engine:
    """The engine of a configuration, which samples from ``policy``."""
    return TorchEngine(policy, max_rows=config.engine.max_rows)
