"""The step log: ``metrics.jsonl``, one flat JSON object per line and step."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rekindle.observability.step_log import StepLog, StepLogError, read_step_log

__all__ = ["MetricsWriter", "plain_line", "read_metrics"]


class MetricsWriter:
    """Appends steps to a log, e.g. ``MetricsWriter(run / "metrics.jsonl").append({"step": 1, "loss": 0.02})``.

    An existing log is continued; an incomplete last line of a killed process is removed first.
    """

    def __init__(self, path: str | Path) -> None:
        self._log = StepLog(path)

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one step, and sync. NaN and infinities become null, numpy scalars become numbers.

        Raises:
            StepLogError: The step number is missing, or a value is not a number, a text or None.
        """
        if not isinstance(metrics.get("step"), int):
            name, step = self._log.path.name, metrics.get("step")
            raise StepLogError(f'a line of {name} needs an integer "step", not {step!r}')
        self._log.extend([plain_line(metrics)])

    def truncate_after(self, step: int) -> None:
        """Remove the lines of later steps, which a run resumed from ``step`` writes again."""
        self._log.truncate_after(step)

    def last_step(self) -> int | None:
        """Step of the last line; None without lines."""
        return self._log.last_step()

    def close(self) -> None:
        """Close the file; more steps are an error."""
        self._log.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read a log without an incomplete last line. A missing file is an empty log.

    Raises:
        StepLogError: Any other line is not a JSON object with a step.
    """
    return list(read_step_log(path))


def plain_line(metrics: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
    """The metrics as they are written: NaN and infinities are None, numpy scalars are numbers.

    Raises:
        StepLogError: A value is not a number, a text or None.
    """
    return {key: _plain(key, value) for key, value in metrics.items()}


def _plain(key: str, value: object) -> str | int | float | bool | None:
    item = getattr(value, "item", None)
    if callable(item):
        value = item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    raise StepLogError(f"metric {key!r} is {value!r}; a step log holds numbers, texts and None")
