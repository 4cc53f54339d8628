"""Cache directories, and what tells a complete one from a damaged one."""

import json
import os
from pathlib import Path

from rekindle.types import UserError

__all__ = ["CacheError", "cache_directory", "is_sealed", "seal", "writable_cache"]

_SIZES = "sizes.json"
"""The bytes of each other file: what tells a complete directory from a damaged one without reading it."""


class CacheError(UserError):
    """The cache directory cannot be used; the message says what to set."""


def cache_directory(kind: str) -> Path:
    """Cache directory of one kind: in ``REKINDLE_CACHE`` if set, else in the user's cache directory.

    Raises:
        CacheError: No variable names it, and the user has no home directory.
    """
    chosen = os.environ.get("REKINDLE_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen)) / kind
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "rekindle" / kind
    except RuntimeError as error:
        raise CacheError(
            f"there is no home directory ({error}); set REKINDLE_CACHE to a directory for caches"
        ) from None


def writable_cache(directory: Path, what: str) -> Path:
    """The directory, if it can be made and written; it is not made here.

    Args:
        directory: A directory inside a cache directory.
        what: What is kept there, for the message, e.g. "the start policy".

    Raises:
        CacheError: It cannot be made or written.
    """
    for place in (directory, *directory.parents):
        if os.path.lexists(place):
            if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
                return directory
            break
    raise CacheError(
        f"{directory} is where {what} is kept, and it cannot be written; set REKINDLE_CACHE (or XDG_CACHE_HOME) to a "
        "directory that can be written"
    )


def seal(directory: Path) -> None:
    """Write down the sizes of a complete directory's files."""
    (directory / _SIZES).write_text(json.dumps(_sizes(directory)), encoding="utf-8")


def is_sealed(directory: Path) -> bool:
    """Whether the files of a directory are those that it was sealed with."""
    try:
        return bool(json.loads((directory / _SIZES).read_text(encoding="utf-8")) == _sizes(directory))
    except (OSError, ValueError):
        return False


def _sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if path.name != _SIZES}
