"""Confinement of a process that runs third-party scorers on model output, as far as the operating system allows.

Every POSIX system: limits on memory, processor time, file size and core dumps. Linux 5.13 and newer, through Landlock,
which needs no privileges: no program can be started, and no file outside one directory can be changed. 6.7 and newer:
no TCP connection can be opened. 6.12 and newer: no signal can be sent to a process outside. Other systems enforce none
of the last three. No system prevents reading files, or UDP. This is damage control, not a sandbox: for hostile input
run the whole trainer in a container without network.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["confine", "die_with_parent", "landlock_version"]

MEMORY_BYTES = 4 << 30
"""Limit of the address space; a scorer with sympy and numpy uses 0.3 GiB."""
FILE_BYTES = 16 << 20

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION, RULE_PATH_BENEATH = 1, 1
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
# Landlock's file rights, from bit 0: execute, write file, read file, read directory, remove directory, remove file,
# make character device, directory, regular file, socket, fifo, block device, symbolic link; refer, truncate, ioctl.
EXECUTE, WRITE_FILE = 1 << 0, 1 << 1
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))
REFER, TRUNCATE = 1 << 13, 1 << 14
TCP_BIND_AND_CONNECT = 0b11
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def confine(directory: Path, cpu_seconds: int) -> None:
    """Confine this process and its children (see the module); only files in ``directory`` can be changed."""
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a system without this limit, or one already lower
            resource.setrlimit(limit, (value, value))
    if version := landlock_version():
        _restrict_files(directory, version)


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


def _restrict_files(directory: Path, version: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    changes = CHANGES | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=Q", EXECUTE | changes)
    if version >= 4:
        attributes += struct.pack("=Q", TCP_BIND_AND_CONNECT)
    if version >= 6:
        attributes += struct.pack("=Q", SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = _checked(libc.syscall(SYS_CREATE_RULESET, attributes, len(attributes), 0))
    for path, rights in ((str(directory), changes), (os.devnull, WRITE_FILE)):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights, place)
        _checked(libc.syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0))
        os.close(place)
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(libc.syscall(SYS_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
