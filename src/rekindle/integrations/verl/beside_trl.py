"""TRL in the environment of a run on verl.

verl 0.9.1 takes a class of TRL's for models with a value head whenever it finds TRL, and TRL no longer has the class:
no model can be loaded then. Nothing else of verl's needs TRL.
"""

from types import ModuleType

__all__ = ["allow_trl_without_value_heads"]


def allow_trl_without_value_heads(module: ModuleType) -> None:
    """Let ``verl.models.transformers.monkey_patch`` find TRL only where TRL has the class."""
    found = module.is_trl_available
    module.is_trl_available = lambda: found() and _has_value_heads()  # type: ignore[attr-defined]


def _has_value_heads() -> bool:
    try:
        from trl import AutoModelForCausalLMWithValueHead  # noqa: F401
    except ImportError:
        return False
    return True
