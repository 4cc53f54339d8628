"""Files that are surely on the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replace_text", "replaced", "sync", "sync_tree"]


def sync_tree(directory: Path) -> None:
    """Write everything below a directory, and the directory, to the disk."""
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def sync(path: Path) -> None:
    """Write a file or a directory's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; it is on the disk, with its name, when this returns."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a file to write, which then replaces ``path``, and is on the disk, with its name, at the end."""
    partial = path.with_name(f".{path.name}")
    yield partial
    sync(partial)
    partial.replace(path)
    sync(path.parent)
