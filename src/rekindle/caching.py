"""Cache directories."""

import os
from pathlib import Path

__all__ = ["cache_directory"]


def cache_directory(kind: str) -> Path:
    """Cache directory of one kind: in ``REKINDLE_CACHE`` if set, else in the user's cache directory."""
    chosen = os.environ.get("REKINDLE_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rekindle"
    return base / kind
