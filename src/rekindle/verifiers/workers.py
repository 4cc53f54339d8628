"""Pools of killable processes for code that may hang or crash, with a wall-clock limit per job.

A ``ServerPool`` talks to one server process (``forking``) that forks a process per job. The server has a fresh
temporary directory that is removed afterwards, and a session of its own, so that Ctrl-C in a terminal reaches the
trainer alone. A ``WorkerPool`` runs third-party scorers, with a scrubbed environment; ``confinement`` describes the
limits of a scoring process.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.tasks.child_process import child_environment, python_command
from rekindle.verifiers.framing import receive, send
from rekindle.verifiers.scorers import ScorerName
from rekindle.verifiers.verifier import Verdict, VerifierError, checked_verdict

__all__ = ["Job", "Launch", "Reply", "ServerPool", "WorkerPool"]

Job = Mapping[str, object]
"""The fields that a job needs, JSON-like."""
Reply = Mapping[str, Any]
"""A result, or its ``failure``: "timeout", "crash" or "error"."""

START_SECONDS = 120.0
SILENCE_SECONDS = 60.0
"""A server that owes results and stays silent for this long beyond the time limit counts as hanging."""

STDERR = "server-stderr"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server process is started.

    Attributes:
        module: The module to run; its arguments are the socket's descriptor, the directory, and ``arguments``.
        arguments: Further arguments.
        environment: The temporary directory -> environment variables.
        start_seconds: Longest wait for the server to be ready.
        in_its_directory: Whether it runs in the temporary directory, instead of that of this process.
        not_started: The last line of its messages, None where the wait was too long -> what is wrong, and the remedy.
    """

    module: str
    arguments: tuple[str, ...]
    environment: Callable[[str], Mapping[str, str]] = child_environment
    start_seconds: float = START_SECONDS
    in_its_directory: bool = True
    not_started: Callable[[str | None], str] = lambda last: (
        f"the verifier's worker process could not start ({last or 'no message'}); try: rekindle doctor"
    )


class ServerPool:
    """Does jobs in parallel. The server starts with the first job, and is restarted when it has died.

    Args:
        launch: How the server starts.
        workers: Most processes at the same time.
        timeout_seconds: Wall-clock limit of one job, counted from the fork of its process.
    """

    def __init__(self, launch: Launch, *, workers: int, timeout_seconds: float) -> None:
        self._launch, self._workers, self._timeout = launch, workers, timeout_seconds
        self._lock = threading.Lock()
        self._server: _ServerProcess | None = None

    def start(self) -> Reply:
        """Start the server, if it does not run; return what it said when it was ready.

        Raises:
            VerifierError: The server process cannot be started.
        """
        with self._lock:
            return self._running_server().ready

    def replies(self, jobs: Sequence[Job]) -> list[Reply]:
        """Do every job; replies in the same order. Concurrent calls wait for one another.

        A job that was running when the server died is tried once more.

        Raises:
            VerifierError: The server process cannot be started.
        """
        replies: dict[int, Reply] = {}
        lost: set[int] = set()
        with self._lock:
            while len(replies) < len(jobs):
                unfinished = self._round(jobs, deque(i for i in range(len(jobs)) if i not in replies), replies)
                replies |= {index: {"failure": "crash"} for index in unfinished & lost}
                lost |= unfinished
        return [replies[index] for index in range(len(jobs))]

    def close(self) -> None:
        """End the server and its processes, and remove its directory. A later job starts another."""
        with self._lock:
            self._discard()

    def _round(self, jobs: Sequence[Job], waiting: deque[int], replies: dict[int, Reply]) -> set[int]:
        """Do jobs until all are done or the server is lost; return those that were running then."""
        server = self._running_server()
        under_way: set[int] = set()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self._workers:
                    under_way.add(waiting[0])
                    send(server.channel, {**jobs[waiting[0]], "id": waiting.popleft()})
                if (reply := receive(server.channel)) is None:
                    break
                under_way.remove(reply["id"])
                replies[reply["id"]] = reply
        except OSError:
            pass  # the server is gone or silent: same as the end of its stream
        except BaseException:  # e.g. Ctrl-C: late answers would be taken for those of the next jobs
            self._discard()
            raise
        if under_way:
            self._discard()
        return under_way

    def _running_server(self) -> "_ServerProcess":
        if self._server is not None and self._server.process.poll() is not None:
            self._discard()
        if self._server is None:
            self._server = _ServerProcess(self._launch, self._timeout)
        return self._server

    def _discard(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


class WorkerPool:
    """Judges with a third-party scorer in a ``ServerPool``.

    Args:
        scorer: Name of the scorer.
        workers: Most processes at the same time.
        timeout_seconds: Wall-clock limit of one verdict.
    """

    def __init__(self, scorer: ScorerName, *, workers: int, timeout_seconds: float) -> None:
        launch = Launch("rekindle.verifiers.worker_main", (scorer, str(timeout_seconds), str(workers)))
        self._pool = ServerPool(launch, workers=workers, timeout_seconds=timeout_seconds)

    def judge(self, jobs: Sequence[Job]) -> list[Verdict]:
        """Judge every job, whose fields are those that ``scorers.score`` reads; verdicts in the same order.

        A missing verdict is a failure (see ``Verdict``).

        Raises:
            VerifierError: The server process cannot be started.
        """
        return [_verdict(reply) for reply in self._pool.replies(jobs)]

    def close(self) -> None:
        """See ``ServerPool.close``."""
        self._pool.close()


def _verdict(reply: Reply) -> Verdict:
    failure = reply.get("failure")
    return checked_verdict(reply.get("score")) if failure is None else Verdict(0.0, failure)


class _ServerProcess:
    """A running server process; it is stopped with this object, or when the interpreter ends."""

    def __init__(self, launch: Launch, timeout_seconds: float) -> None:
        if os.name != "posix":
            raise VerifierError(
                'worker processes need fork; run on Linux or macOS, or use task.verifier = "exact_match"'
            )
        directory = Path(tempfile.mkdtemp(prefix="rekindle-verifier-"))
        self.channel, other = socket.socketpair()
        with other, (directory / STDERR).open("wb") as stderr:
            self.process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
                python_command(launch.module, str(other.fileno()), str(directory), *launch.arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=directory if launch.in_its_directory else None,
                env=launch.environment(str(directory)),
                pass_fds=(other.fileno(),),
                start_new_session=True,
            )
        self.stop = weakref.finalize(self, _stop, os.getpid(), self.process, self.channel, directory)
        self.ready = self._await_start(launch, directory / STDERR)
        self.channel.settimeout(timeout_seconds + SILENCE_SECONDS)

    def _await_start(self, launch: Launch, stderr: Path) -> Reply:
        self.channel.settimeout(launch.start_seconds)
        last: str | None = ""
        try:
            ready = receive(self.channel)
        except TimeoutError:
            ready, last = None, None
        if ready is not None:
            return ready
        if last is not None:
            last = (stderr.read_text(errors="replace").strip().splitlines() or [""])[-1]
        else:
            self.process.kill()  # it does not listen
        self.stop()
        raise VerifierError(launch.not_started(last))


def _stop(owner: int, process: "subprocess.Popen[bytes]", channel: socket.socket, directory: Path) -> None:
    """Close the channel, which makes the server end its children and itself; kill it if it does not.

    A process forked from the owner (e.g. a data loader) inherits these objects and must not stop the owner's server.
    """
    channel.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(directory, ignore_errors=True)
