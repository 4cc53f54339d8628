"""Command and environment of a Python child process: the parent's packages, and a scrubbed environment."""

import os
import sys
from collections.abc import Mapping

__all__ = ["child_environment", "python_command"]

KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
"""Environment variables that some Python installations need to start."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``module``; -P keeps the working directory off the import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(home: str) -> Mapping[str, str]:
    """A scrubbed environment: no credentials, one thread, UTF-8, and fixed string hashes for a fixed order of sets.

    Args:
        home: Used as home directory and temporary directory.
    """
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return (
        kept
        | threads
        | {
            "HOME": home,
            "TMPDIR": home,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )
