"""Processes by their parents, through Linux's /proc."""

from contextlib import suppress
from pathlib import Path

__all__ = ["children", "descendants"]


def children(pid):
    """Process ids of all children, of whichever thread."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += (thread / "children").read_text().split()
    return {int(one) for one in found}


def descendants(pid):
    """Process ids of children, their children, and so on."""
    found = children(pid)
    for child in tuple(found):
        found |= descendants(child)
    return found
