"""Readers of a command's output that go away before it ends, such as ``head``: the command then ends without a word."""

import os
import select
import sys

__all__ = ["READER_GONE", "flushed", "reader_is_gone"]

READER_GONE = 141
"""Exit code that shells give a process that SIGPIPE ended."""


def flushed(code: int | str | None) -> int | str | None:
    """The exit code after what is left of standard output is written, or ``READER_GONE``."""
    try:
        if sys.stdout is not None:  # closed from the beginning
            sys.stdout.flush()
    except BrokenPipeError:
        return READER_GONE if reader_is_gone() else code
    return code


def reader_is_gone() -> bool:
    """Whether nobody reads standard output or standard error any more.

    Their output goes nowhere from then on, so that nothing is said of it when the process ends.
    """
    gone = [stream for stream in (1, 2) if _is_broken(stream)]
    for stream in gone:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)
    return bool(gone)


def _is_broken(stream: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
