"""Making of a sweep's runs by worker processes."""

import selectors
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rekindle.sweeps.status import State, Status
from rekindle.sweeps.workers import Worker

__all__ = ["Watch", "run_all"]

LOOK_EVERY = 0.2
"""Most seconds until an interruption is noticed."""
PATIENCE = 20.0
"""Seconds that a worker has to end by itself."""


class Watch(Protocol):
    """Receives what happens to the runs of a sweep."""

    def changed(self, status: Status) -> None:
        """A run began, or ended."""
        ...

    def progressed(self, status: Status) -> None:
        """A run made a step, or its first evaluation."""
        ...


def run_all(
    statuses: Sequence[Status],
    *,
    jobs: int,
    threads: int,
    watches: Sequence[Watch] = (),
    interrupted: Callable[[], bool] = lambda: False,
    inherited: Sequence[int] = (),
) -> None:
    """Make the runs that wait, in order; each goes on where it is, if it has begun. Their statuses say what came of it.

    A run that fails, or whose process is killed, does not stop the others.

    Args:
        statuses: The runs.
        jobs: Runs made at the same time, each in a process of its own.
        threads: CPU threads of each process.
        watches: Receive what happens.
        interrupted: Polled; True asks the runs to stop after their step, and begins no others.
        inherited: File descriptors that the processes keep open while they live.

    Raises:
        KeyboardInterrupt: As it comes; the runs are stopped at once.
    """
    made = _Making(statuses, jobs, watches, lambda first: Worker(first, threads, inherited))
    try:
        made.until_all_ended(interrupted)
    except BaseException:
        made.interrupt()
        raise
    finally:
        made.close()


class _Making:
    """The workers, and the runs that wait for them."""

    def __init__(
        self, statuses: Sequence[Status], jobs: int, watches: Sequence[Watch], start: Callable[[Status], Worker]
    ) -> None:
        self._waiting = deque(one for one in statuses if one.state is State.WAITING)
        self._jobs, self._watches, self._start = jobs, watches, start
        self._workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()
        self._asked = False

    def until_all_ended(self, interrupted: Callable[[], bool]) -> None:
        while True:
            if interrupted() and not self._asked:
                self._asked = True
                self.interrupt()
            if not self._asked:
                self._employ()
            if not any(worker.status for worker in self._workers) and (self._asked or not self._waiting):
                return
            for key, _ in self._selector.select(LOOK_EVERY):
                for event in key.data.events():
                    self._take(key.data, event)

    def interrupt(self) -> None:
        """Ask all workers that make a run to stop; a second time, at once."""
        for worker in self._workers:
            if worker.status is not None:
                worker.interrupt()

    def close(self) -> None:
        for worker in list(self._workers):
            self._gone(worker, -signal.SIGINT)
        self._selector.close()

    def _employ(self) -> None:
        """Give the next runs to workers that are free, or to new ones."""
        while self._waiting:
            worker = next((one for one in self._workers if one.is_free), None)
            if worker is None and len(self._workers) >= self._jobs:
                return
            status = self._waiting.popleft()
            if worker is None:
                worker = self._start(status)
                self._workers.append(worker)
                self._selector.register(worker, selectors.EVENT_READ, data=worker)
            worker.give(status)
            self._change(status, State.RUNNING)

    def _take(self, worker: Worker, event: dict[str, Any]) -> None:
        status = worker.status
        if event["event"] == "dead":
            self._selector.unregister(worker)
            self._gone(worker, event["code"])
        elif status is None:
            return
        elif event["event"] == "progress":
            status.note(event)
            for watch in self._watches:
                watch.progressed(status)
        else:
            worker.status, worker.leaves = None, event["leaves"]
            self._change(status, State(event["ending"]), event["why"])

    def _gone(self, worker: Worker, code: int) -> None:
        """A process has ended, perhaps in the middle of a run."""
        worker.close(PATIENCE)
        self._workers.remove(worker)
        status, worker.status = worker.status, None
        if status is None:
            return
        if self._asked or code == -signal.SIGINT:
            self._change(status, State.INTERRUPTED)
        else:
            self._change(status, State.FAILED, _death(code))

    def _change(self, status: Status, state: State, why: str = "") -> None:
        status.state, status.why = state, why
        for watch in self._watches:
            watch.changed(status)


def _death(code: int) -> str:
    if code != -signal.SIGKILL:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"its process {how}; its log says more; continue with --resume"
    return "its process was killed, perhaps for want of memory (fewer --jobs need less); continue with --resume"
