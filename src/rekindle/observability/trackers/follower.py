"""Hands the steps of a run over to one tracker, in a thread of its own, so that no tracker can stop or delay a run.

    append(line) -> queue -> thread: open the tracker once, then log every line that it does not have
                                     failure: the lines stay in the queue, and are tried again with the next step

``trackers/NAME.json`` in the run directory keeps the id of the tracker's run and the last step that it has.
"""

import json
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.choices import one_line
from rekindle.notices import warn
from rekindle.observability.trackers.tracker import Tracker

__all__ = ["Follower", "Record", "numbers"]

STEP_SECONDS = 5.0
"""Longest wait of a step for its tracker; a tracker that is slower gets the steps behind the run."""
CLOSE_SECONDS = 75.0
"""Longest wait of a run that ends for its trackers, after a first one of ``STEP_SECONDS``."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the run directory knows of a tracker's run, in ``trackers/NAME.json``.

    Attributes:
        id: Its id.
        last_step: Last step that it surely has; -1: none.
    """

    id: str
    last_step: int = -1

    @staticmethod
    def read(path: Path) -> "Record | None":
        """The record; None where there is none, or it is damaged: a new run of the tracker then begins."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return Record(str(found["id"]), int(found["last_step"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}")
        partial.write_text(json.dumps({"id": self.id, "last_step": self.last_step}), encoding="utf-8")
        partial.replace(path)


def numbers(line: Mapping[str, object]) -> dict[str, float]:
    """The finite numbers of a metrics line by name, without ``step``; None and texts are left out."""
    return {
        key: value
        for key, value in line.items()
        if key != "step" and isinstance(value, int | float) and math.isfinite(value)
    }


class Follower:
    """Queue and thread of one tracker.

    Args:
        name: Name of the tracker.
        opening: Opens the tracker; called in the thread, and again with the next step where it failed.
        record: Path of the record.
        before: Lines of earlier steps, for a tracker that lacks them.
    """

    def __init__(
        self, name: str, opening: Callable[[], Tracker], record: Path, before: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self._name, self._opening, self._record = name, opening, record
        self._tracker: Tracker | None = None
        self._waiting: deque[Mapping[str, Any]] = deque(before)
        self._changed = threading.Condition()
        self._asked, self._done = 0, -1
        """Number of steps appended, and of those the thread has tried; -1 until it has tried to open the tracker."""
        self._failed: bool | None = None
        """How the run ended; None while it goes on."""
        self._error: Exception | None = None
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def append(self, line: Mapping[str, Any]) -> None:
        """Queue a step. Waits until the tracker has it, but not longer than ``STEP_SECONDS``, nor behind a slow one."""
        with self._changed:
            slow = 0 < self._asked != self._done
            self._waiting.append(line)
            self._asked += 1
            number = self._asked
            self._changed.notify_all()
            if not slow:
                self._changed.wait_for(lambda: self._done >= number, STEP_SECONDS)
        self._say_error()

    def end(self, *, failed: bool) -> None:
        """Let the thread hand over what is left, close the tracker, and end."""
        with self._changed:
            self._failed = failed
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end, but not for ever; warns of steps that the tracker does not have."""
        self._thread.join(STEP_SECONDS)
        if self._thread.is_alive():
            warn(f"waiting for {self._name} to take the last steps, for at most {CLOSE_SECONDS:.0f} seconds")
            self._thread.join(CLOSE_SECONDS)
        self._say_error()
        missing = len(self._waiting)
        if missing or self._thread.is_alive():
            warn(
                f"{self._name} {f'lacks the last {missing} steps' if missing else 'did not finish in time'}; "
                "metrics.jsonl has them all, and the same command with --resume hands over what is missing"
            )

    # -- in the thread of the tracker ---------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._failed is None:
            asked = self._asked
            self._attempt(self._hand_over)
            with self._changed:
                self._done = asked
                self._changed.notify_all()
                self._changed.wait_for(self._is_needed)
        if self._tracker is not None:
            self._attempt(self._hand_over)
            self._attempt(self._finish)

    def _is_needed(self) -> bool:
        return self._asked > self._done or self._failed is not None

    def _attempt(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:  # noqa: BLE001 (whatever a library raises, the run goes on)
            self._error = error

    def _hand_over(self) -> None:
        """Log the lines that wait, in order; the first failure ends it, and its line stays."""
        if self._tracker is None:
            self._tracker = self._opening()
            Record(self._tracker.id, self._tracker.last_step).write(self._record)
        while self._waiting:
            line = self._waiting[0]
            step: int = line["step"]
            is_new = step > self._tracker.last_step
            if is_new:
                self._tracker.log(step, numbers(line))
            self._waiting.popleft()
            if is_new:
                Record(self._tracker.id, self._tracker.last_step).write(self._record)

    def _finish(self) -> None:
        assert self._tracker is not None
        self._tracker.close(failed=bool(self._failed))
        Record(self._tracker.id, self._tracker.last_step).write(self._record)

    # -- in the thread of the run -------------------------------------------------------------------------------------

    def _say_error(self) -> None:
        """Warn of the last error, once for each kind of error."""
        error, self._error = self._error, None
        if error is None or type(error).__name__ in self._said:
            return
        self._said.add(type(error).__name__)
        why = one_line(error)
        warn(f"{self._name} could not take a step ({why}); the run goes on, and its steps are kept for later")
