"""Registration of our trainers in verl, once verl has its own."""

import importlib
from types import ModuleType

__all__ = ["register_trainers"]


def register_trainers(module: ModuleType) -> None:
    """Register the trainer modes ``rekindle``, ``rekindle_colocate_async`` and ``rekindle_separate_async``."""
    importlib.import_module("rekindle.integrations.verl.trainer")
