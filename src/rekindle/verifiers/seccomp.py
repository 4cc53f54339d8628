"""Filter of system calls for a process that only computes (Linux, x86_64 and aarch64).

The filter lists what is allowed: memory, clocks, its own signals, and reading of files. Everything else fails with an
error: sockets, new processes and threads, programs, signals to others, any change of a file, of its mode, owner, times
or attributes, priorities and processors, limits, tracing, namespaces, mounts, keys, BPF and io_uring. Calls that a
later kernel adds fail as on a kernel without them. A process cannot remove its filter.
"""

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["NUMBERS", "install", "is_available", "program"]

NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62), "pread64": (17, 67), "readv": (19, 65),
    "writev": (20, 66), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79),
    "statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getcwd": (79, 17), "getdents": (78, None),
    "getdents64": (217, 61),
    "open": (2, None), "openat": (257, 56), "dup": (32, 23), "fadvise64": (221, 223), "close_range": (436, 436),
    "fcntl": (72, 25), "ioctl": (16, 29),
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214), "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "membarrier": (324, 283),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "alarm": (37, None), "setitimer": (38, 103), "getitimer": (36, 102),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "getrusage": (98, 165), "getcpu": (309, 168),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179), "getrlimit": (97, 163),
    "prlimit64": (302, 261), "getrandom": (318, 278), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
"""Allowed system calls, with their numbers on x86_64 and on aarch64 (None: it has none)."""

READ_ONLY = 3 | 0o100 | 0o1000 | 0o2000 | 0o20000 | 0o20000000
"""Flags of ``open`` that must be unset: access modes, create, truncate, append, signals, and unnamed files."""
CONTROLS = {"fcntl": (0, 1, 2, 3, 1030), "ioctl": (0x5401, 0x5450, 0x5451)}
"""Allowed commands: duplicate, flags of descriptors, status flags; is it a terminal, and close on exec."""
FIRST_UNIFIED = 424
"""System calls from this number on are of Linux 5.1 and newer; libraries expect that they may be missing."""

ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""Column of ``NUMBERS``, the kernel's name of the architecture, and the number of ``seccomp``."""
X32 = 0x40000000
"""From this number on, x86_64 has the calls of another binary interface."""

# Offsets in the data of a call: its number, the architecture, its arguments (lower half of 64 bits first).
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
SET_MODE_FILTER, GET_ACTION_AVAILABLE, KEEP_SPECULATION = 1, 2, 4


class _Instruction(NamedTuple):
    """Instruction of classic BPF: code, instructions to skip where its test is true and where not, operand."""

    code: int
    true: int
    false: int
    operand: int


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_available() -> bool:
    """Whether the kernel filters system calls, and this architecture's numbers are known."""
    machine = _machine()
    if machine is None:
        return False
    action = ctypes.c_uint32(ERROR)
    libc = ctypes.CDLL(None)
    return bool(libc.syscall(ARCHITECTURES[machine][2], GET_ACTION_AVAILABLE, 0, ctypes.byref(action)) == 0)


def install(filter_program: bytes) -> None:
    """Filter the calls of this process, which has one thread and has set ``no_new_privs``, for good.

    Raises:
        OSError: The kernel refuses.
    """
    machine = _machine()
    assert machine is not None, "see is_available"
    libc = ctypes.CDLL(None, use_errno=True)
    loaded = _Program(len(filter_program) // 8, filter_program)
    for flags in (KEEP_SPECULATION, 0):  # kernels before 4.17 know no flag
        if libc.syscall(ARCHITECTURES[machine][2], SET_MODE_FILTER, flags, ctypes.byref(loaded)) == 0:
            return
    raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def program(machine: str | None = None) -> bytes:
    """The filter as classic BPF, 8 bytes an instruction.

    Args:
        machine: "x86_64" or "aarch64"; None: this machine.
    """
    column, architecture, _ = ARCHITECTURES[machine or platform.machine()]
    numbers = {name: both[column] for name, both in NUMBERS.items()}
    body = [
        _Instruction(LOAD, 0, 0, ARCHITECTURE),
        _Instruction(EQUAL, 1, 0, architecture),
        _Instruction(RETURN, 0, 0, KILL),
        _Instruction(LOAD, 0, 0, NUMBER),
        _Instruction(AT_LEAST, 0, 1, X32),
        _Instruction(RETURN, 0, 0, ERROR | errno.EPERM),
    ]
    for name, number in numbers.items():
        if number is not None:
            then = [*_conditions(name), _Instruction(RETURN, 0, 0, ALLOW)]
            body += [_Instruction(EQUAL, 0, len(then), number), *then]
    body += [
        _Instruction(AT_LEAST, 0, 1, FIRST_UNIFIED),
        _Instruction(RETURN, 0, 0, ERROR | errno.ENOSYS),
        _Instruction(RETURN, 0, 0, ERROR | errno.EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *one) for one in body)


def _conditions(name: str) -> Iterator[_Instruction]:
    """What the arguments of a call must be; otherwise it fails."""
    refuse = _Instruction(RETURN, 0, 0, ERROR | errno.EPERM)
    if name in {"open", "openat"}:
        yield _argument(1 if name == "open" else 2)
        yield from (_Instruction(ANY_BIT, 0, 1, READ_ONLY), refuse)
    elif name in CONTROLS:
        yield _argument(1)
        commands = CONTROLS[name]
        yield from (_Instruction(EQUAL, len(commands) - place, 0, one) for place, one in enumerate(commands))
        yield refuse
    elif name == "prlimit64":  # its own limits, to read them
        for half in (_argument(0), _argument(2), _argument(2, upper=True)):
            yield from (half, _Instruction(EQUAL, 1, 0, 0), refuse)


def _argument(place: int, *, upper: bool = False) -> _Instruction:
    return _Instruction(LOAD, 0, 0, ARGUMENTS + 8 * place + 4 * upper)


def _machine() -> str | None:
    known = sys.platform == "linux" and platform.machine() in ARCHITECTURES and ctypes.sizeof(ctypes.c_void_p) == 8
    return platform.machine() if known else None
