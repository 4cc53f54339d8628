"""Atomic replacement of files."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rekindle.types import UserError

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: Path, error: Callable[[str], UserError], remedy: str) -> Iterator[Path]:
    """Yield a temporary file to write, which then replaces ``path``. Missing directories are created.

    Two processes may write the same file: each has a temporary file of its own, named after its process. Temporary
    files that killed processes left are removed.

    Args:
        path: Final path; an existing file is replaced.
        error: Message -> the exception to raise.
        remedy: End of the message, e.g. "choose another --out".

    Raises:
        UserError: ``error``, where the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as problem:
        raise error(f"{path} cannot be written ({problem.strerror or problem}); {remedy}") from problem
    finally:
        with suppress(OSError):
            partial.unlink()


def _remove_leftovers(path: Path) -> None:
    beginning = f".{path.name}."
    for found in path.parent.iterdir():
        number = found.name.removeprefix(beginning)
        if found.name.startswith(beginning) and number.isdecimal() and not _is_alive(int(number)):
            with suppress(OSError):
                found.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
