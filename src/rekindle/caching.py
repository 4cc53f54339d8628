"""Cache directories: where they are, and directories in them that are made once."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rekindle.locking import waiting_for_lock
from rekindle.types import UserError

__all__ = ["CacheError", "cache_directory", "kept", "writable_cache"]

Kept = TypeVar("Kept")

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


def kept(directory: Path, what: str, make: Callable[[Path], None], read: Callable[[Path], Kept | None]) -> Kept:
    """What is read from a cached directory; it is made first if it is not there, or not as it was when it was made.

    While another process makes the same directory, this one waits for it. A directory appears whole or not at all.

    Args:
        directory: A directory inside a cache directory, for this content alone.
        what: What is kept there, for the message, e.g. "the start policy".
        make: Writes the files into an empty directory.
        read: Reads a complete directory; None: it has to be made again.

    Raises:
        CacheError: It has to be made, and the cache cannot be written.
    """
    found = _complete(directory, read)
    if found is None:
        writable_cache(directory, what)
        with waiting_for_lock(directory.with_name(f"{directory.name}.lock")):
            found = _complete(directory, read)  # another process may have been faster
            if found is None:
                _write(directory, make)
                found = read(directory)
    assert found is not None, "what was just made can be read"
    return found


def _complete(directory: Path, read: Callable[[Path], Kept | None]) -> Kept | None:
    """What is read where the files are those that were made."""
    try:
        sizes = json.loads((directory / _SIZES).read_text(encoding="utf-8"))
        return read(directory) if sizes == _sizes(directory) else None
    except (OSError, ValueError):
        return None


def _write(directory: Path, make: Callable[[Path], None]) -> None:
    """Write to a temporary directory and rename it, so that other processes never see a partial one."""
    partial = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".partial-"))
    try:
        make(partial)
        (partial / _SIZES).write_text(json.dumps(_sizes(partial)), encoding="utf-8")
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if path.name != _SIZES}
