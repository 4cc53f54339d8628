"""The protocol of a tracker, and what it is opened with."""

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Delay", "TrackedRun", "Tracker", "parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A run as a tracker is told of it.

    Attributes:
        directory: Run directory.
        project: Project or experiment.
        name: Name of the run.
        config: The resolved configuration: tables of keys, without keys that are not set.
        id: Id of the tracker's run that is continued; None: a new one begins.
        last_step: Last step that the tracker surely has by its record; -1: none.
        resumed_from: Step of the checkpoint that the run continues from; -1: it begins.
    """

    directory: Path
    project: str
    name: str
    config: Mapping[str, Any]
    id: str | None = None
    last_step: int = -1
    resumed_from: int = -1


class Tracker(Protocol):
    """Tracker protocol. Every method may raise any exception; all are called in one thread.

    Attributes:
        id: Id of the tracker's run, kept in the run directory.
        last_step: Last step that it surely has, also after a kill; -1: none. When it is opened, only later steps are
            passed to ``log``.
    """

    id: str
    last_step: int

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the numbers of a step under their names in ``metrics.jsonl``. Steps ascend."""
        ...

    def close(self, *, failed: bool) -> None:
        """Write what is left and end; ``failed`` is True where the run ended with an exception."""
        ...


class Delay:
    """The last step of a library that writes a little later than it is told to.

    Args:
        last_step: Last step that it has from before.
        seconds: Longest time after which a step is written.
    """

    def __init__(self, last_step: int, seconds: float) -> None:
        self._last_step, self._seconds = last_step, seconds
        self._recent: deque[tuple[float, int]] = deque()

    def after(self, step: int) -> int:
        """The last step that is surely written when ``step`` has just been logged."""
        now = time.monotonic()
        self._recent.append((now + self._seconds, step))
        while self._recent[0][0] <= now:
            self._last_step = self._recent.popleft()[1]
        return self._last_step

    def newest(self) -> int:
        """The last step of all, once everything is written."""
        return self._recent[-1][1] if self._recent else self._last_step


def parameters(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    """Keys of a configuration by path, e.g. ("train.steps", 60); lists, empty tables among them, as JSON."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from parameters(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str | int | float) else json.dumps(value)
