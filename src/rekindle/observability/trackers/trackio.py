"""Trackio: its local database (``TRACKIO_DIR``), or where ``TRACKIO_SPACE_ID`` or ``TRACKIO_SERVER_URL`` say.

Metrics have the names of ``metrics.jsonl``. Trackio keeps every value that is written: a resumed run continues the run
of the same id after the last step in the database. Trackio writes twice a second, so a kill loses at most the steps of
half a second, which the resumed run hands over again.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

from rekindle.observability.trackers.tracker import Delay, TrackedRun

__all__ = ["TrackioTracker"]

WRITE_SECONDS = 2.0
"""Time in which a queued step is written; Trackio writes twice a second."""


class TrackioTracker:
    """A run of Trackio.

    Attributes:
        id: Its run id.
        last_step: Last step that is surely in the database.
    """

    def __init__(self, run: TrackedRun) -> None:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        with _unprinted():
            self._run = trackio.init(
                project=run.project,
                name=run.name,
                config=dict(run.config),
                resume="never" if run.id is None else "allow",
            )
        self.id = self._run.id = run.id or self._run.id  # its name may be that of another run as well
        self.last_step = run.last_step
        if run.id is not None and self._run.url is None:
            found = SQLiteStorage.get_max_step_for_run(run.project, run.name, run_id=run.id)
            self.last_step = -1 if found is None else found
        self._delay = Delay(self.last_step, WRITE_SECONDS)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Put a step in Trackio's queue."""
        self._run.log(dict(metrics), step=step)
        self.last_step = self._delay.after(step)

    def close(self, *, failed: bool) -> None:
        """Write the queue; Trackio does not say how a run ended."""
        with _unprinted():
            self._run.finish()
        self.last_step = self._delay.newest()


class _Output:
    """Standard output without what one thread prints."""

    def __init__(self, inner: IO[str]) -> None:
        self._inner, self._silent = inner, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._silent else self._inner.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def _unprinted() -> Iterator[None]:
    """Keep Trackio's greetings off standard output, which is for results."""
    before = sys.stdout
    sys.stdout = cast("IO[str]", _Output(before))
    try:
        yield
    finally:
        sys.stdout = before
