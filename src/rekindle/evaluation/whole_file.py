"""Files that are written whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rekindle.types import UserError

__all__ = ["replaced_whole"]


@contextmanager
def replaced_whole(path: Path, error: Callable[[str], UserError], remedy: str) -> Iterator[Path]:
    """A file beside ``path`` to write to; afterwards it takes its place. Missing folders are made.

    Args:
        path: May exist.
        error: Makes the exception, from its message.
        remedy: How the message ends, e.g. "choose another --out".

    Raises:
        UserError: ``error``, where it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as problem:
        raise error(f"{path} cannot be written ({problem.strerror or problem}); {remedy}") from problem
    finally:
        with suppress(OSError):
            partial.unlink()
