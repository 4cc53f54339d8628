"""Advisory file locks: one process at a time."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["lock", "waiting_for_lock"]

_LOOK_EVERY = 0.1  # seconds


def lock(file: IO[Any], otherwise: Exception) -> None:
    """Lock ``file`` for this process; the lock is released when the file is closed or the process ends.

    Raises:
        Exception: ``otherwise``, when another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise otherwise from None


@contextmanager
def waiting_for_lock(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``, a file that is made here; wait while another process holds it.

    Raises:
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        while True:
            try:
                lock(file, BlockingIOError())
            except BlockingIOError:
                time.sleep(_LOOK_EVERY)
            else:
                break
        yield
