"""The warnings of a run: ``warnings.jsonl``, one flat JSON object per text and step.

    {"step": 12, "time": "2026-01-31T12:00:00+00:00", "source": "rekindle", "text": "...", "count": 3}

``count`` is how often the text occurred in that step; step 0 is the time before the first update. A new text is written
at once, and its repetitions at the end of the step, so a kill loses at most repetitions of one step. A resumed run
removes the lines of the steps that it makes again.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rekindle.notices import Notice, opened
from rekindle.observability.step_log import StepLog, read_step_log

__all__ = ["WARNINGS", "KeptWarning", "WarningsLog", "read_warnings", "warnings_kept_in"]

WARNINGS = "warnings.jsonl"
"""Name of the file."""


def _now() -> datetime:
    return datetime.now(UTC)


class WarningsLog:
    """Appends warnings to a log, from any thread; an existing log is continued, and the first warning makes one.

    Attributes:
        step: The step that is being made; the lines belong to it.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], datetime] = _now) -> None:
        self._path = Path(path)
        self._log = StepLog(self._path) if self._path.exists() else None
        self.step = 0
        self._clock = clock
        self._repeated: Counter[Notice] = Counter()
        self._lock = threading.RLock()

    def add(self, notice: Notice, *, shown: bool) -> None:
        """Write a warning that is new, and count one that is not until the step ends."""
        with self._lock:
            if shown:
                self._write({notice: 1})
            else:
                self._repeated[notice] += 1

    def end_step(self, step: int) -> None:
        """Write the repetitions so far; what follows belongs to the step after ``step``."""
        with self._lock:
            self._write(self._repeated)
            self._repeated.clear()
            self.step = step + 1

    def truncate_after(self, step: int) -> None:
        """Forget the warnings of later steps, which a run resumed from ``step`` makes again."""
        if self._log is not None:
            self._log.truncate_after(step)

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._lock:
            self._write(self._repeated)
            self._repeated.clear()
            if self._log is not None:
                self._log.close()

    def __enter__(self) -> "WarningsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, counts: Mapping[Notice, int]) -> None:
        if not counts:
            return
        self._log = self._log or StepLog(self._path)
        time = self._clock().isoformat(timespec="seconds")
        self._log.extend(
            [
                {"step": self.step, "time": time, "source": notice.source, "text": notice.text, "count": count}
                for notice, count in counts.items()
            ]
        )


@dataclass(frozen=True, slots=True)
class KeptWarning:
    """A text of a run, its count, and its first and last step."""

    text: str
    source: str
    count: int
    first_step: int
    last_step: int


def read_warnings(path: str | Path) -> list[KeptWarning]:
    """The distinct texts of a log in the order of their first occurrence; none where there is no file.

    Raises:
        StepLogError: A line other than the last is not a JSON object with a step.
    """
    found: dict[tuple[str, str], KeptWarning] = {}
    for line in read_step_log(path):
        text, source, count, step = _fields(line)
        before = found.get((text, source), KeptWarning(text, source, 0, step, step))
        found[text, source] = KeptWarning(text, source, before.count + count, before.first_step, step)
    return list(found.values())


def _fields(line: Mapping[str, Any]) -> tuple[str, str, int, int]:
    count = line.get("count", 1)
    return str(line.get("text", "")), str(line.get("source", "")), count if isinstance(count, int) else 1, line["step"]


@contextmanager
def warnings_kept_in(path: Path | None) -> Iterator[None]:
    """Keep all warnings of the body, earlier ones included, in a file; None: they are only shown."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with WarningsLog(path) as log, opened() as channel, channel.kept_in(log):
        yield
