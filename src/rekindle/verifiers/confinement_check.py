"""What the confinement of scorers prevents on this system, found by trying it in confined processes.

    python -m rekindle.verifiers.confinement_check

``rekindle doctor --confinement`` shows the table. Each column switches layers off, as on systems that lack them. Where
root asks, everything is tried as root and as an unprivileged user.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rekindle.verifiers.confinement import available, confine, memory_of_each, prepare

__all__ = ["ATTEMPTS", "COLUMNS", "Place", "Prevented", "find", "table", "try_here"]

COLUMNS = {
    "Linux 5.13 and newer": ("limits", "landlock", "seccomp"),
    "Linux before 5.13": ("limits", "seccomp"),
    "Linux on other processors": ("limits", "landlock"),
    "macOS and other systems": ("limits",),
}
"""Systems, and the layers that they have."""
NOBODY = 65534
FAILED, UNCONFINED = 1, 2
"""Exit status of a process whose attempt failed, and of one that could not be confined."""
PR_SET_DUMPABLE = 4
CPU_SECONDS = 5
PTRACE_SEIZE = 0x4206
IO_URING_SETUP, CLONE_NEWUSER = 425, 0x10000000


@dataclass(frozen=True, slots=True)
class Place:
    """What attempts are made on: a directory with a file and a Unix socket, a UDP port, and another process."""

    directory: Path
    port: int
    other: int

    @property
    def file(self) -> Path:
        """A file of the user."""
        return self.directory / "file"

    @property
    def unix_socket(self) -> Path:
        """A Unix socket that listens."""
        return self.directory / "socket"


def _send_packet(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packet:
        packet.sendto(b"hello", ("127.0.0.1", place.port))


def _connect(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place.unix_socket))


def _fork(_: Place) -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _start_program(_: Place) -> None:
    os.execv("/bin/sh", ["sh", "-c", "exit 0"])  # noqa: S606 (the attempt)


def _start_thread(_: Place) -> None:
    try:
        threading.Thread(target=lambda: None).start()
    except RuntimeError as error:
        raise PermissionError from error


def _read_file(place: Place) -> None:
    place.file.read_bytes()


def _read_environment(place: Place) -> None:
    Path(f"/proc/{place.other}/environ").read_bytes()


def _write_file(place: Place) -> None:
    place.file.write_bytes(b"changed")


def _empty_file(place: Place) -> None:
    os.truncate(place.file, 0)


def _write_shared_memory(_: Place) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(b"x" * 4096)
        file.flush()


def _write_anonymous(_: Place) -> None:
    os.write(os.memfd_create("x"), b"x" * 4096)


def _make_directory(place: Place) -> None:
    tempfile.mkdtemp(dir=place.directory)


def _change_mode(place: Place) -> None:
    place.file.chmod(0o777)


def _change_times(place: Place) -> None:
    os.utime(place.file, (0, 0))


def _signal(place: Place) -> None:
    os.kill(place.other, 0)


def _trace(place: Place) -> None:
    _raise_if_failed(ctypes.CDLL(None, use_errno=True).ptrace(PTRACE_SEIZE, place.other, 0, 0))


def _change_priority(place: Place) -> None:
    os.setpriority(os.PRIO_PROCESS, place.other, os.getpriority(os.PRIO_PROCESS, place.other))


def _change_processors(place: Place) -> None:
    os.sched_setaffinity(place.other, os.sched_getaffinity(0))


def _change_limits(place: Place) -> None:
    resource.prlimit(place.other, resource.RLIMIT_CORE, (0, 0))


def _take_memory(_: Place) -> None:
    bytearray(memory_of_each(1) + 1)


def _use_io_uring(_: Place) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(IO_URING_SETUP, 1, None) < 0 and ctypes.get_errno() in {errno.EPERM, errno.ENOSYS}:
        raise PermissionError


def _make_namespace(_: Place) -> None:
    _raise_if_failed(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER))


def _raise_if_failed(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


ATTEMPTS: Mapping[str, Callable[[Place], None]] = {
    "send a packet": _send_packet,
    "connect to a Unix socket": _connect,
    "start a process": _fork,
    "start a program": _start_program,
    "start a thread": _start_thread,
    "read a file of the user": _read_file,
    "read the environment of another process": _read_environment,
    "write a file of the user": _write_file,
    "empty a file of the user": _empty_file,
    "write to /dev/shm": _write_shared_memory,
    "write to an anonymous file": _write_anonymous,
    "make a directory": _make_directory,
    "change a file's mode": _change_mode,
    "change a file's times": _change_times,
    "send a signal to another process": _signal,
    "trace another process": _trace,
    "change another process's priority": _change_priority,
    "change another process's processors": _change_processors,
    "change another process's limits": _change_limits,
    "take more than 4 GiB of memory": _take_memory,
    "use io_uring": _use_io_uring,
    "make a namespace": _make_namespace,
}
"""What a confined process tries; it succeeds or raises ``OSError`` or ``MemoryError``."""

Prevented = Mapping[str, Sequence[bool]]
"""Attempt -> whether it was prevented, by column."""


def try_here(place: Place, attempt: Callable[[Place], None], layers: Sequence[str]) -> bool:
    """Whether an attempt is prevented in a process that is confined by these layers."""
    if (pid := os.fork()) == 0:
        _attempt(place, attempt, layers)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNCONFINED:
        raise RuntimeError(f"confinement by {', '.join(layers)} failed")
    return status != 0


def _attempt(place: Place, attempt: Callable[[Place], None], layers: Sequence[str]) -> NoReturn:
    status = UNCONFINED
    try:
        os.setsid()
        confine(CPU_SECONDS, memory_of_each(1), layers)
        status = FAILED
        attempt(place)
        status = 0
    finally:
        os._exit(status)


def find() -> dict[str, Prevented]:
    """Try everything with the layers of each column; by user, "root" and "user" where root asks, else "user"."""
    prepare()
    if os.getuid() != 0:
        return {"user": _tried()}
    return {"root": _tried(), "user": _as_nobody(_tried)}


def _tried() -> Prevented:
    has = set(available())
    with tempfile.TemporaryDirectory() as directory:
        place, stop = _open_place(Path(directory))
        try:
            return {
                name: [try_here(place, attempt, sorted(has & set(layers))) for layers in COLUMNS.values()]
                for name, attempt in ATTEMPTS.items()
            }
        finally:
            stop()


def _open_place(directory: Path) -> tuple[Place, Callable[[], None]]:
    packets, unix = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX)
    packets.bind(("127.0.0.1", 0))
    other = os.fork()
    if other == 0:
        time.sleep(60)
        os._exit(0)
    place = Place(directory, packets.getsockname()[1], other)
    place.file.write_bytes(b"secret")
    unix.bind(str(place.unix_socket))
    unix.listen(len(COLUMNS) + 1)

    def stop() -> None:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        packets.close()
        unix.close()

    return place, stop


def _as_nobody(function: Callable[[], Prevented]) -> Prevented:
    """The function's result in a process of an unprivileged user."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as any process that was started by that user
            os.write(writer, json.dumps(function()).encode())
        except Exception:  # noqa: BLE001 (it is shown, and no result is one)
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    if not data:
        raise RuntimeError("an unprivileged user could not try anything")
    found: Prevented = json.loads(data)
    return found


def table() -> str:
    """What ``find`` finds in a process of its own, as a table in Markdown.

    Raises:
        RuntimeError: The process failed.
    """
    command = [sys.executable, "-P", "-m", "rekindle.verifiers.confinement_check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())  # noqa: S603
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    by_user: dict[str, Prevented] = json.loads(done.stdout)
    lines = [f"| a scorer cannot | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name in ATTEMPTS:
        cells = [
            _cell({user: prevented[name][place] for user, prevented in by_user.items()})
            for place in range(len(COLUMNS))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(prevented: Mapping[str, bool]) -> str:
    if all(prevented.values()):
        return "yes"
    if not any(prevented.values()):
        return "**no**"
    return "not as root" if prevented["user"] else "as root only"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(find()))
