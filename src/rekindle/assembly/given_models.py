"""A model that a script hands over, as the directory that a run begins with, in the user's cache.

The directory is named by a digest of the weights, so the same model has the same place in every process.
"""

from pathlib import Path
from typing import Any

from rekindle.caching import cache_directory, kept
from rekindle.config import ConfigError
from rekindle.models.policy import Policy

__all__ = ["kept_model"]


def kept_model(model: Policy | tuple[Any, Any]) -> Path:
    """Directory of a copy of a policy, or of a (transformers model, tokenizer).

    Raises:
        ConfigError: It is neither.
        CacheError: There is no copy yet, and the cache cannot be written.
    """
    policy = model if isinstance(model, Policy) else _policy(model)
    if policy.adapter is not None:
        raise ConfigError("the given policy has a LoRA adapter; merge it, or give its base and set model.lora.rank")
    directory = cache_directory("given-models") / policy.fingerprint()
    return kept(directory, "the given model", policy.save, lambda found: found)


def _policy(model: object) -> Policy:
    if isinstance(model, tuple) and len(model) == 2 and hasattr(model[0], "save_pretrained"):
        return Policy(*model)
    what = type(model).__name__
    if hasattr(model, "save_pretrained"):
        raise ConfigError(f"model is a {what} without its tokenizer; give (model, tokenizer)")
    raise ConfigError(f"model is a {what}; give a path, a name on the hub, a Policy, or (model, tokenizer)")
