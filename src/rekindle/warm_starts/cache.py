"""Cache of start policies in the user's cache directory: a model and its profile per combination of settings."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from rekindle.caching import cache_directory, is_sealed, seal, writable_cache
from rekindle.locking import waiting_for_lock
from rekindle.models.policy import Policy
from rekindle.types import UserError

__all__ = ["WarmStartError", "cached"]

RECIPE_VERSION = 1
"""Part of the cache key; increased when the same settings would give another policy."""


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
    found = _read_profile(directory)
    if found is None:
        writable_cache(directory, "the start policy")
        with waiting_for_lock(directory.with_name(f"{directory.name}.lock")):
            found = _read_profile(directory)  # another process may have been faster
            if found is None:
                policy, found = make()
                _keep(directory, policy, found, text)
    return directory, found


def _read_profile(directory: Path) -> dict[str, float] | None:
    """The cached profile; None where no complete policy is cached."""
    if not is_sealed(directory):
        return None
    try:
        return dict(json.loads((directory / "profile.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _keep(directory: Path, policy: Policy, profile: dict[str, float], key: str) -> None:
    """Write to a temporary directory and rename it, so that concurrent runs never see a partial one."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".partial-"))
    policy.save(partial)
    (partial / "profile.json").write_text(json.dumps(profile), encoding="utf-8")
    (partial / "settings.json").write_text(key, encoding="utf-8")
    seal(partial)
    if directory.exists():
        shutil.rmtree(directory)
    partial.rename(directory)
