"""Confinement of a process that runs third-party scorers on model output, as far as the operating system allows.

Three layers, none of which needs privileges:

- ``limits`` (every POSIX system): memory, processor time, processes (not of root), no file can be written; as root,
  no capability but that of reading.
- ``landlock`` (Linux 5.13 and newer): no file can be read but libraries and the data of Python packages, and none
  changed; nothing of other processes is visible.
- ``seccomp`` (Linux on x86_64 and aarch64): see ``seccomp``.

``rekindle doctor --confinement`` shows what holds on this system. A kernel can have errors: for code that is meant to
break out, run the whole trainer in a container or a virtual machine.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from rekindle.verifiers import seccomp

__all__ = [
    "LAYERS",
    "available",
    "confine",
    "die_with_parent",
    "landlock_version",
    "memory_of_each",
    "missing",
    "prepare",
]

LAYERS = ("limits", "landlock", "seccomp")

TOTAL_BYTES = 4 << 30
"""Memory of all scoring processes together."""
LEAST_BYTES = 1 << 30
"""Least address space of one, however many there are; a scorer with sympy and numpy uses 0.3 GiB."""
OPEN_FILES = 64

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION, RULE_PATH_BENEATH = 1, 1
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
# Landlock's file rights, from bit 0: execute, write file, read file, read directory, remove directory, remove file,
# make character device, directory, regular file, socket, fifo, block device, symbolic link; refer, truncate, ioctl.
READ_FILE, READ_DIRECTORY = 1 << 2, 1 << 3
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of file rights by Landlock's version."""
TCP_BIND_AND_CONNECT = 0b11
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
SYSTEM_FILES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache",
    os.devnull, "/dev/urandom",
)  # fmt: skip

CAPABILITY_VERSION, CAP_DAC_READ_SEARCH = 0x20080522, 1 << 2


def available() -> tuple[str, ...]:
    """The layers that this system has."""
    has = {"limits": True, "landlock": landlock_version() > 0, "seccomp": seccomp.is_available()}
    return tuple(layer for layer in LAYERS if has[layer])


def missing() -> str:
    """What this system lacks for a complete confinement, as the beginning of a sentence; "" where it lacks nothing."""
    has = available()
    lacks = [
        *(["filter of system calls (seccomp)"] if "seccomp" not in has else []),
        *(["Landlock (Linux 5.13 and newer)"] if "landlock" not in has else []),
    ]
    return f"{platform.system()} {platform.release()} has no {' and no '.join(lacks)}" if lacks else ""


def memory_of_each(workers: int) -> int:
    """Limit of one process's address space, bytes, where ``workers`` run at the same time."""
    return max(LEAST_BYTES, TOTAL_BYTES // workers)


def prepare() -> None:
    """Look up now what ``confine`` needs, for all processes forked later; call it when the packages are loaded."""
    _readable()
    if "seccomp" in available():
        _filter()


def confine(cpu_seconds: int, memory_bytes: int = TOTAL_BYTES, layers: Collection[str] | None = None) -> None:
    """Confine this process, which has one thread, for good.

    Args:
        cpu_seconds: Limit of its processor time.
        memory_bytes: Limit of its address space.
        layers: The layers to use; None: all that this system has.

    Raises:
        OSError: The kernel refuses a layer that it has.
    """
    chosen = available() if layers is None else layers
    if "limits" in chosen:
        _limit(cpu_seconds, memory_bytes)
        _drop_capabilities()
    if sys.platform == "linux":
        _checked(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if "landlock" in chosen:
        _restrict_files(landlock_version())
    if "seccomp" in chosen:
        seccomp.install(_filter())


_filter = cache(seccomp.program)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its single-threaded parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def landlock_version() -> int:
    """The kernel's Landlock version, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(SYS_CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)))


def _limit(cpu_seconds: int, memory_bytes: int) -> None:
    for limit, value in (
        ("RLIMIT_AS", memory_bytes),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", OPEN_FILES),
        ("RLIMIT_MEMLOCK", 0),
        ("RLIMIT_MSGQUEUE", 0),
    ):
        with suppress(ValueError, OSError, AttributeError):  # a system without this limit, or one already lower
            resource.setrlimit(getattr(resource, limit), (value, value))


def _drop_capabilities() -> None:
    """Give up what root may do, but not reading: packages may belong to another user."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, kept = struct.pack("=Ii", CAPABILITY_VERSION, 0), ctypes.create_string_buffer(24)
    _checked(libc.capget(header, kept))
    reading = struct.unpack_from("=III", kept)[1] & CAP_DAC_READ_SEARCH
    _checked(libc.capset(header, struct.pack("=IIIIII", reading, reading, 0, 0, 0, 0)))


def _restrict_files(version: int) -> None:
    """Allow reading below ``_readable``, and nothing else; no TCP, and no signals and abstract sockets to others."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=Q", (1 << RIGHTS.get(version, RIGHTS[5])) - 1)
    if version >= 4:
        attributes += struct.pack("=Q", TCP_BIND_AND_CONNECT)
    if version >= 6:
        attributes += struct.pack("=Q", SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = _checked(libc.syscall(SYS_CREATE_RULESET, attributes, len(attributes), 0))
    for path in _readable():
        rights = READ_FILE | (READ_DIRECTORY if os.path.isdir(path) else 0)
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # gone, or not readable at all
            continue
        _checked(libc.syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
        os.close(place)
    _checked(libc.syscall(SYS_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


@cache
def _readable() -> tuple[str, ...]:
    """Files and directories that a scorer may read: libraries of the system, of Python, and of the loaded packages."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    libraries |= {f"{prefix}/{place}" for prefix in (sys.prefix, sys.base_prefix) for place in ("lib", "lib64")}
    found = [os.path.realpath(path) for path in (*SYSTEM_FILES, *libraries, *_packages()) if os.path.exists(path)]
    return tuple(path for path in dict.fromkeys(found) if not any(_is_below(path, other) for other in found))


def _packages() -> Iterator[str]:
    """Directories of the loaded packages, and files of the loaded modules that are in none."""
    for name, module in list(sys.modules.items()):
        if "." not in name and (file := getattr(module, "__file__", None)) is not None:
            yield str(Path(file).parent if hasattr(module, "__path__") else file)


def _is_below(path: str, other: str) -> bool:
    return path != other and path.startswith(f"{other}{os.sep}")


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
