"""Processes that the children of a server leave behind: Linux hands them to the server, which kills them."""

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

__all__ = ["adopt_orphans", "kill_orphans"]

PR_SET_CHILD_SUBREAPER = 36
CHILDREN = Path("/proc/thread-self/children")


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_orphans(keep: Collection[int]) -> None:
    """Kill all children of this thread except ``keep``, and in turn the orphans that they leave, until none is left.

    Does nothing where the kernel does not list children (systems other than Linux).
    """
    while orphans := _children() - set(keep):
        for pid in orphans:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in orphans:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> set[int]:
    try:
        return {int(pid) for pid in CHILDREN.read_text().split()}
    except OSError:
        return set()
