"""Cache of start policies in the user's cache directory: a model and its profile per combination of settings."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from rekindle.caching import cache_directory, kept
from rekindle.models.policy import Policy
from rekindle.types import UserError

__all__ = ["WarmStartError", "cached"]

RECIPE_VERSION = 1
"""Part of the cache key; increased when the same settings would give another policy."""
_PROFILE = "profile.json"


class WarmStartError(UserError):
    """The warm start gave a policy that RL cannot use."""


def cached(key: dict[str, Any], make: Callable[[], tuple[Policy, dict[str, float]]]) -> tuple[Path, dict[str, float]]:
    """Directory and profile of the policy with these settings; it is made and kept if it is not in the cache.

    While another process makes the same policy, this one waits for it.

    Args:
        key: Every setting that the policy depends on, JSON-like.
        make: Trains the policy and measures its profile.

    Raises:
        CacheError: There is none in the cache, and the cache cannot be written.
    """
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}  # whose files are not for others
    text = json.dumps({**key, "recipe_version": RECIPE_VERSION, **versions}, sort_keys=True)
    directory = cache_directory("warm-start") / hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def write(out: Path) -> None:
        policy, profile = make()
        policy.save(out)
        (out / _PROFILE).write_text(json.dumps(profile), encoding="utf-8")
        (out / "settings.json").write_text(text, encoding="utf-8")

    return directory, kept(directory, "the start policy", write, _read_profile)


def _read_profile(directory: Path) -> dict[str, float]:
    return dict(json.loads((directory / _PROFILE).read_text(encoding="utf-8")))
