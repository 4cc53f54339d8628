"""The server process of ``WorkerPool``. It forks one process per job and enforces a deadline.

    parent --job--> server --fork--> child: confine itself, score, write the result to its pipe, exit
    parent <--verdict-- server <--pipe--

The server imports the scorers once and never evaluates model output itself. A child that hangs, crashes or corrupts
itself costs one verdict and no restart, and verdicts do not depend on each other. A child has no open file but its
pipe: its prints are discarded, and its bytes on the pipe are untrusted data. Children die with the server, and the
server ends when the parent's end of the socket closes, however the parent died.
"""

import gc
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NoReturn, cast

from rekindle.verifiers import scorers
from rekindle.verifiers.confinement import confine, die_with_parent
from rekindle.verifiers.framing import receive, send

__all__ = ["main", "result_of"]

RESULT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    job_id: int
    deadline: float


class _Server:
    def __init__(
        self, channel: socket.socket, scorer: scorers.ScorerName, timeout_seconds: float, directory: Path
    ) -> None:
        self._channel, self._scorer, self._timeout, self._directory = channel, scorer, timeout_seconds, directory
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)

    def serve(self) -> None:
        """Judge jobs until the parent's end of the socket closes."""
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is not self._channel:
                    self._finish(key.fd, result_of(os.read(key.fd, RESULT_BYTES)))
                elif (job := receive(self._channel)) is None:
                    return
                else:
                    self._start(job)
            now = time.monotonic()
            for pipe in [pipe for pipe, child in self._children.items() if child.deadline <= now]:
                self._finish(pipe, {"failure": "timeout"})

    def kill_children(self) -> None:
        """Kill the processes that still run."""
        for pipe in list(self._children):
            self._reap(pipe)

    def _patience(self) -> float | None:
        nearest = min((child.deadline for child in self._children.values()), default=None)
        return None if nearest is None else max(0.0, nearest - time.monotonic())

    def _start(self, job: Mapping[str, Any]) -> None:
        try:
            scorers.prepare(self._scorer, job)
        except Exception:  # noqa: BLE001 (third-party code; its exceptions become a verdict)
            send(self._channel, {"id": job["id"], "failure": "error"})
            return
        server, (result, pipe) = os.getpid(), os.pipe()
        if (pid := os.fork()) == 0:
            self._judge(job, pipe, server)
        os.close(pipe)
        self._children[result] = _Child(pid, job["id"], time.monotonic() + self._timeout)
        self._selector.register(result, selectors.EVENT_READ)

    def _judge(self, job: Mapping[str, Any], pipe: int, server: int) -> NoReturn:
        """Run in the child: score one job, then exit."""
        try:
            os.setsid()
            die_with_parent(server)
            _keep_only(pipe)
            confine(self._directory, cpu_seconds=ceil(self._timeout) + 1)
            os.write(pipe, json.dumps(_scored(self._scorer, job)).encode())
        finally:
            os._exit(0)

    def _finish(self, pipe: int, result: Mapping[str, object]) -> None:
        send(self._channel, {"id": self._reap(pipe), **result})

    def _reap(self, pipe: int) -> int:
        """Kill a child and all processes of its session; return its job's id."""
        child = self._children.pop(pipe)
        self._selector.unregister(pipe)
        os.close(pipe)
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        return child.job_id


def _try_confinement(directory: Path) -> None:
    """Confine an empty child process. Where that fails, every verdict would fail, so the server must not start."""
    if (pid := os.fork()) == 0:
        try:
            confine(directory, cpu_seconds=1)
        except OSError as error:
            os.write(2, f"confinement failed: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)


def _keep_only(pipe: int) -> None:
    """Close every file but ``pipe``; standard input, output and error become the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))


def _scored(scorer: scorers.ScorerName, job: Mapping[str, Any]) -> dict[str, object]:
    try:
        return {"score": scorers.score(scorer, job)}
    except Exception:  # noqa: BLE001 (third-party code on model output; its exceptions become a verdict)
        return {"failure": "error"}


def result_of(data: bytes) -> dict[str, object]:
    """The checked result of a child: a numeric score, or that scoring raised; anything else is a crash."""
    with suppress(ValueError, RecursionError):
        result = json.loads(data)
        if result == {"failure": "error"}:
            return {"failure": "error"}
        if isinstance(result, dict) and isinstance(score := result.get("score"), int | float):
            return {"score": score}
    return {"failure": "crash"}


def main() -> None:
    """Arguments: socket descriptor, scorer name, seconds per verdict. The working directory is its own."""
    descriptor, scorer, timeout_seconds = sys.argv[1:]
    channel, directory = socket.socket(fileno=int(descriptor)), Path.cwd()
    name = cast("scorers.ScorerName", scorer)
    scorers.load(name)
    _try_confinement(directory)
    gc.collect()
    gc.freeze()  # children share these pages until a collection touches them
    send(channel, {"ready": True})
    server = _Server(channel, name, float(timeout_seconds), directory)
    try:
        server.serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone: same as the end of its stream
    finally:
        server.kill_children()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
