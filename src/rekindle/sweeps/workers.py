"""Worker processes of a sweep, seen from the sweep."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from rekindle.sweeps.runs import order_of
from rekindle.sweeps.status import Status
from rekindle.tasks.child_process import python_command

__all__ = ["Worker"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Worker:
    """A process that makes runs, in a session of its own, so that Ctrl-C in a terminal reaches the sweep alone.

    Args:
        first: Its first run.
        threads: CPU threads of the process.
        inherited: File descriptors that it keeps open while it lives.

    Attributes:
        status: Status of the run that it makes; None: there is none.
        leaves: Whether its process ends, and takes no further order.
    """

    def __init__(self, first: Status, threads: int, inherited: Sequence[int] = ()) -> None:
        paths = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": paths}
        first.run.log.parent.mkdir(parents=True, exist_ok=True)
        with first.run.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                python_command("rekindle.sweeps.worker_main"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=tuple(inherited),
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._events = self._process.stdin, self._process.stdout
        self._line = b""
        self.status: Status | None = None
        self.leaves = False

    @property
    def is_free(self) -> bool:
        """Whether it waits for an order."""
        return self.status is None and not self.leaves

    def fileno(self) -> int:
        """Descriptor that can be read when there are events, or when the process has ended."""
        return self._events.fileno()

    def give(self, status: Status) -> None:
        """Tell the worker to make a run; a worker that is dead is found by its events."""
        self.status = status
        with suppress(BrokenPipeError):
            self._orders.write(order_of(status.run).encode())
            self._orders.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """What it has reported since; ``{"event": "dead", "code": ...}`` when the process has ended."""
        read = os.read(self.fileno(), 65536)
        *lines, self._line = (self._line + read).split(b"\n")
        yield from map(json.loads, lines)
        if not read:
            yield {"event": "dead", "code": self._process.wait()}

    def interrupt(self) -> None:
        """Ask it to stop after its step; a second time, at once."""
        self._signal(signal.SIGINT)

    def close(self, patience: float) -> None:
        """End the process: an idle one by itself, another one by force after ``patience`` seconds."""
        with suppress(BrokenPipeError):
            self._orders.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        finally:
            self._events.close()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
