"""Advisory file lock: one process at a time."""

import fcntl
from typing import IO, Any

__all__ = ["lock"]


def lock(file: IO[Any], otherwise: Exception) -> None:
    """Lock ``file`` for this process; the lock is released when the file is closed or the process ends.

    Raises:
        Exception: ``otherwise``, when another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise otherwise from None
