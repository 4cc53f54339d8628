"""Server that forks one process per job and enforces a deadline; the other end is a ``ServerPool``.

    parent --job--> server --fork--> child: confine itself, work, write the result to its pipe, exit
    parent <--result-- server <--pipe--

The server imports what the jobs need once and does none of them itself. A child that hangs, crashes or corrupts itself
costs one job and no restart, and jobs do not depend on each other. A child has no open file but its pipe: its prints
are discarded, and its bytes on the pipe are untrusted data. Children die with the server. The server ends when the
parent's end of the socket closes, or when the parent is gone and a process that it forked keeps that end open.

On Linux the server adopts what its children leave behind, also in sessions of their own, and kills it before it ends;
where it ``sweeps``, after every job.
"""

import gc
import json
import os
import selectors
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from rekindle.verifiers.confinement import die_with_parent
from rekindle.verifiers.framing import receive, send
from rekindle.verifiers.orphans import adopt_orphans, kill_orphans

__all__ = ["Work", "serve"]

END = b"\n"
"""Ends a child's result, which is one line of JSON."""
READ_BYTES = 1 << 16
WATCH_SECONDS = 1.0
"""Longest time between looks at whether the parent lives."""


class Work(Protocol):
    """The jobs of a server."""

    result_bytes: int
    """Most bytes of a result; a longer one is cut, and then is no result."""
    sweeps: bool
    """Whether processes that a job leaves behind are killed with it, instead of at the end of the server."""

    def prepare(self, job: Mapping[str, Any]) -> None:
        """Prepare, in the server, what later jobs share; an exception is the failure "error" of the job."""

    def enter(self) -> None:
        """Confine the child before it works."""

    def result(self, job: Mapping[str, Any]) -> Mapping[str, object]:
        """Do the job, in the child; raises nothing."""
        ...

    def read(self, data: bytes) -> dict[str, object]:
        """The checked result in the bytes of a child."""
        ...


@dataclass(slots=True)
class _Child:
    pid: int
    job_id: int
    deadline: float
    data: bytearray = field(default_factory=bytearray)


class _Server:
    def __init__(self, channel: socket.socket, work: Work, timeout_seconds: float) -> None:
        self._channel, self._work, self._timeout = channel, work, timeout_seconds
        self._children: dict[int, _Child] = {}
        self._parent = os.getppid()
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)

    def serve(self) -> None:
        """Do jobs until the parent's end of the socket closes, or the parent is gone."""
        while os.getppid() == self._parent:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is not self._channel:
                    self._read(key.fd)
                elif (job := receive(self._channel)) is None:
                    return
                else:
                    self._start(job)
            now = time.monotonic()
            for pipe in [pipe for pipe, child in self._children.items() if child.deadline <= now]:
                self._finish(pipe, {"failure": "timeout"})

    def kill_children(self) -> None:
        """Kill the processes that still run, and what others left behind."""
        for pipe in list(self._children):
            self._reap(pipe)
        kill_orphans(keep=())

    def _patience(self) -> float:
        nearest = min((child.deadline - time.monotonic() for child in self._children.values()), default=WATCH_SECONDS)
        return min(max(0.0, nearest), WATCH_SECONDS)

    def _start(self, job: Mapping[str, Any]) -> None:
        try:
            self._work.prepare(job)
        except Exception:  # noqa: BLE001 (third-party code; its exceptions become a verdict)
            send(self._channel, {"id": job["id"], "failure": "error"})
            return
        server, (result, pipe) = os.getpid(), os.pipe()
        if (pid := os.fork()) == 0:
            self._do(job, pipe, server)
        os.close(pipe)
        self._children[result] = _Child(pid, job["id"], time.monotonic() + self._timeout)
        self._selector.register(result, selectors.EVENT_READ)

    def _do(self, job: Mapping[str, Any], pipe: int, server: int) -> NoReturn:
        """Run in the child: do one job, then exit."""
        try:
            os.setsid()
            die_with_parent(server)
            _keep_only(pipe)
            self._work.enter()
            data = json.dumps(self._work.result(job)).encode() + END
            while data:
                data = data[os.write(pipe, data) :]
        finally:
            os._exit(0)

    def _read(self, pipe: int) -> None:
        """Read from a child; its result ends with a line, at its death, or where it is too long."""
        child, part = self._children[pipe], os.read(pipe, READ_BYTES)
        child.data += part
        if not part or child.data.endswith(END) or len(child.data) > self._work.result_bytes:
            self._finish(pipe, self._work.read(bytes(child.data[: self._work.result_bytes])))

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
        if self._work.sweeps:
            kill_orphans(keep=[other.pid for other in self._children.values()])
        return child.job_id


def _keep_only(pipe: int) -> None:
    """Close every file but ``pipe``; standard input, output and error become the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))


def serve(
    channel: socket.socket, work: Work, timeout_seconds: float, directory: Path, ready: Mapping[str, object]
) -> None:
    """Say ``ready``, serve until the parent is gone, and remove ``directory``."""
    adopt_orphans()
    gc.collect()
    gc.freeze()  # children share these pages until a collection touches them
    server = _Server(channel, work, timeout_seconds)
    try:
        send(channel, ready)
        server.serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone: same as the end of its stream
    finally:
        server.kill_children()
        shutil.rmtree(directory, ignore_errors=True)
