"""Small file systems in memory, for tests of full disks."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["small_disk"]


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of ``size`` such as "64k" at ``place``; skips the test where it cannot be mounted."""
    place.mkdir()
    try:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if made.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
