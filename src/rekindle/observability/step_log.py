"""A JSON Lines file whose lines belong to steps, so that a resumed run can take back what it will write again."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rekindle.types import UserError

__all__ = ["StepLog", "StepLogError", "read_step_log"]


class StepLogError(UserError):
    """A log is broken; the message says where."""


class StepLog:
    """Appends JSON objects that have an integer "step"; an existing file is continued.

    Whoever kills the process can at worst leave half of the last line, which is removed when the file is opened again
    and ignored by ``read_step_log``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+b")
        self._file.seek(0)
        text = self._file.read()
        self._file.truncate(text.rfind(b"\n") + 1)

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write lines; they are on the disk when this returns."""
        self._file.write(b"".join(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines))
        self._sync()

    def truncate_after(self, step: int) -> None:
        """Forget the lines of later steps."""
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, start=1):
            if _parsed(self.path, number, line)["step"] > step:
                break
            end += len(line)
        self._file.truncate(end)
        self._sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "StepLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def read_step_log(path: Path) -> list[dict[str, Any]]:
    """Every whole line; none where there is no file.

    Raises:
        StepLogError: A line is no JSON object with a step.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [_parsed(path, number, line) for number, line in enumerate(lines[:-1], start=1)]


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("step"), int):
        raise StepLogError(f'{path.name}, line {number} is no JSON object with a "step"; remove the line')
    return found
