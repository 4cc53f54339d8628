"""A JSON Lines file whose lines belong to steps, so that a resumed run can remove the lines it will write again.

Lines are synced to disk before ``extend`` returns. A sync costs about 0.2 ms on a local disk, a step at least 100 ms.
In return no checkpoint can be ahead of the log, not even after a power cut. A killed process leaves at worst an
incomplete last line, which readers ignore and the next writer removes.
"""

import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rekindle.records.durable_files import sync
from rekindle.types import UserError

__all__ = ["StepLog", "StepLogError", "read_step_log"]

LAST_STEP = 10**9
"""Largest number of a step; larger ones are damage, for which readers would make room."""


class StepLogError(UserError):
    """A log is broken, or a line cannot be written to it; the message gives the place."""


class StepLog:
    """Appends JSON objects that have an integer "step"; an existing file is continued."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        is_new = not self.path.exists()
        self._file = self.path.open("a+b")
        if is_new:
            sync(self.path.parent)
        self._repair()

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write lines in the order of their steps, and sync them to disk."""
        self._file.write(b"".join(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines))
        self._sync()

    def truncate_after(self, step: int) -> None:
        """Remove the lines of later steps, which a run resumed from ``step`` writes again.

        Raises:
            StepLogError: One of the lines to remove is broken.
        """
        self._file.truncate(self._end_of(step))
        self._sync()

    def last_step(self) -> int | None:
        """Step of the last line; None without lines."""
        if not self._size():
            return None
        with self._view() as view:
            line = _parsed(view[view.rfind(b"\n", 0, len(view) - 1) + 1 :])
        return None if line is None else int(line["step"])

    def close(self) -> None:
        """Close the file; more lines are an error."""
        self._file.close()

    def __enter__(self) -> "StepLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _repair(self) -> None:
        """Remove an incomplete last line, or add the missing newline of a complete one."""
        size = self._size()
        if not size:
            return
        with self._view() as view:
            start = view.rfind(b"\n") + 1
            last = view[start:]
        if not last:
            return
        if _parsed(last) is None:
            self._file.truncate(start)
        else:
            self._file.write(b"\n")
        self._sync()

    def _end_of(self, step: int) -> int:
        """Start of the lines of later steps; searched from the end, as a log of proposals may be large."""
        end = self._size()
        if not end:
            return 0
        with self._view() as view:
            while end:
                start = view.rfind(b"\n", 0, end - 1) + 1
                line = _parsed(view[start:end])
                if line is None:
                    raise _broken(self.path, view[:start].count(b"\n") + 1)
                if line["step"] <= step:
                    break
                end = start
        return end

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _view(self) -> mmap.mmap:
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def read_step_log(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the lines, without an incomplete last line of a killed run; none without a file.

    Raises:
        StepLogError: Any other line is not a JSON object with a step.
    """
    path = Path(path)
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            found = _parsed(line)
            if found is not None:
                yield found
            elif line.endswith(b"\n"):
                raise _broken(path, number)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where it is not an object with a step."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_step(found.get("step")) else None


def _is_step(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LAST_STEP


def _broken(path: Path, number: int) -> StepLogError:
    return StepLogError(f'{path}, line {number}: not a JSON object with an integer "step"; restore or delete the line')
