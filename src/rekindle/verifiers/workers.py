"""Pool of killable processes for third-party scorers, with a wall-clock limit per verdict.

``WorkerPool`` talks to one server process (``worker_main``) that forks a process per verdict. Both run with a scrubbed
environment in a fresh temporary directory that is removed afterwards, and in their own session, so that Ctrl-C in a
terminal reaches the trainer alone. ``confinement`` describes the limits of a scoring process.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from rekindle.tasks.child_process import child_environment, python_command
from rekindle.verifiers.framing import receive, send
from rekindle.verifiers.scorers import ScorerName
from rekindle.verifiers.verifier import Verdict, VerifierError, checked_verdict

__all__ = ["Job", "WorkerPool"]

Job = Mapping[str, object]
"""The fields that ``scorers.score`` reads, JSON-like."""

START_SECONDS = 120.0
SILENCE_SECONDS = 60.0
"""A server that owes verdicts and stays silent for this long beyond the time limit counts as hanging."""

STDERR = "server-stderr"


class WorkerPool:
    """Judges jobs in parallel. The server starts with the first job, and is restarted when it has died.

    Args:
        scorer: Name of the scorer.
        workers: Most processes at the same time.
        timeout_seconds: Wall-clock limit of one verdict, counted from the fork of its process.
    """

    def __init__(self, scorer: ScorerName, *, workers: int, timeout_seconds: float) -> None:
        self._scorer, self._workers, self._timeout = scorer, workers, timeout_seconds
        self._lock = threading.Lock()
        self._server: _ServerProcess | None = None

    def judge(self, jobs: Sequence[Job]) -> list[Verdict]:
        """Judge every job; verdicts in the same order. Concurrent calls wait for one another.

        A missing verdict is a failure (see ``Verdict``). A job that was running when the server died is tried once
        more.

        Raises:
            VerifierError: The server process cannot be started.
        """
        verdicts: dict[int, Verdict] = {}
        lost: set[int] = set()
        with self._lock:
            while len(verdicts) < len(jobs):
                unfinished = self._round(jobs, deque(i for i in range(len(jobs)) if i not in verdicts), verdicts)
                verdicts |= {index: Verdict(0.0, "crash") for index in unfinished & lost}
                lost |= unfinished
        return [verdicts[index] for index in range(len(jobs))]

    def close(self) -> None:
        """End the server and its processes, and remove its directory. A later ``judge`` starts another."""
        with self._lock:
            self._discard()

    def _round(self, jobs: Sequence[Job], waiting: deque[int], verdicts: dict[int, Verdict]) -> set[int]:
        """Judge until all jobs are done or the server is lost; return the jobs that were running then."""
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
                failure = reply.get("failure")
                verdicts[reply["id"]] = (
                    checked_verdict(reply.get("score")) if failure is None else Verdict(0.0, failure)
                )
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
            self._server = _ServerProcess(self._scorer, self._timeout)
        return self._server

    def _discard(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


class _ServerProcess:
    """A running server process; it is stopped with this object, or when the interpreter ends."""

    def __init__(self, scorer: ScorerName, timeout_seconds: float) -> None:
        if os.name != "posix":
            raise VerifierError(
                'worker processes need fork; run on Linux or macOS, or use task.verifier = "exact_match"'
            )
        directory = Path(tempfile.mkdtemp(prefix="rekindle-verifier-"))
        self.channel, other = socket.socketpair()
        with other, (directory / STDERR).open("wb") as stderr:
            self.process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
                python_command("rekindle.verifiers.worker_main", str(other.fileno()), scorer, str(timeout_seconds)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=directory,
                env=child_environment(str(directory)),
                pass_fds=(other.fileno(),),
                start_new_session=True,
            )
        self.stop = weakref.finalize(self, _stop, os.getpid(), self.process, self.channel, directory)
        self._await_start(directory / STDERR)
        self.channel.settimeout(timeout_seconds + SILENCE_SECONDS)

    def _await_start(self, stderr: Path) -> None:
        self.channel.settimeout(START_SECONDS)
        try:
            ready = receive(self.channel)
        except TimeoutError:
            ready = None
        if ready is None:
            last = (stderr.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
            self.stop()
            raise VerifierError(f"the verifier's worker process could not start ({last}); try: rekindle doctor")


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
