"""The directory of skipped optimizer steps in a run directory, of which the last ones are kept."""

import shutil
from pathlib import Path

__all__ = ["KEPT", "SKIPPED", "keep_newest"]

SKIPPED = "skipped"
"""Name of the directory."""
KEPT = 3
"""Most skipped steps that are kept; each has the weights."""


def keep_newest(directory: Path) -> None:
    """Delete all but the newest ``KEPT`` of the skipped steps."""
    for old in sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
