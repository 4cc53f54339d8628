"""The step log: ``metrics.jsonl``, one flat JSON object per line and step.

Every line is flushed and synced before ``append`` returns. A sync costs about 0.2 ms on a local disk, a step costs at
least a hundred; in return no checkpoint can be ahead of the log, not even after a power cut. Whoever kills the process
can at worst leave half of the last line, which the reader ignores and the writer removes.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rekindle.types import UserError

__all__ = ["MetricsError", "MetricsWriter", "read_metrics"]


class MetricsError(UserError):
    """The step log is broken, or a step cannot be written to it; the message says where."""


class MetricsWriter:
    """Appends steps to a log, e.g. ``MetricsWriter(run / "metrics.jsonl").append({"step": 1, "loss": 0.02})``.

    An existing log is continued; half a line left by a killed process is removed first.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = self.path.open("a+b")
        self._repair()

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one step. NaN and infinities become null, numpy scalars plain numbers.

        Raises:
            MetricsError: The step number is missing, or a value is not a number, a text or None.
        """
        if not isinstance(metrics.get("step"), int):
            raise MetricsError(f'a line of {self.path.name} needs an integer "step", not {metrics.get("step")!r}')
        line = json.dumps({key: _plain(key, value) for key, value in metrics.items()}, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._sync()

    def truncate_after(self, step: int) -> None:
        """Forget every line of a later step, so that a run resumed from ``step`` writes them again."""
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, start=1):
            if _parse(self.path, number, line)["step"] > step:
                break
            end += len(line)
        self._file.truncate(end)
        self._sync()

    def close(self) -> None:
        """Close the file; more steps are an error."""
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _repair(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        if not text or text.endswith(b"\n"):
            return
        start = text.rfind(b"\n") + 1
        if _is_step(text[start:]):
            self._file.write(b"\n")
        else:
            self._file.truncate(start)
        self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read a log, the torn last line of a killed run left out. A missing file is an empty log.

    Raises:
        MetricsError: Any other line is not a JSON object with a step.
    """
    path = Path(path)
    lines = path.read_bytes().splitlines() if path.exists() else []
    if lines and not _is_step(lines[-1]):
        lines.pop()
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    if not _is_step(line):
        raise MetricsError(
            f'{path}, line {number}: not a JSON object with an integer "step"; restore or delete the line'
        )
    row: dict[str, Any] = json.loads(line)
    return row


def _is_step(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int)


def _plain(key: str, value: object) -> str | int | float | bool | None:
    item = getattr(value, "item", None)
    if callable(item):
        value = item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    raise MetricsError(f"metric {key!r} is {value!r}; a step log holds numbers, texts and None")
