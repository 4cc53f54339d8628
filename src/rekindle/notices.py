"""Warnings of our code and of other libraries, in one channel that shows each text once, counts it and keeps it.

Our own code calls ``warn(text)``. Without a channel this is a Python warning of the category ``RekindleWarning``, so
filters and ``pytest.warns`` work in scripts and tests. The command line opens a channel (``collecting``), which also
takes the warnings and log records of other libraries. Each distinct text is shown once, in one style, counted, and kept
in the log that a run attaches (``Channel.kept_in``). Closing the channel removes the hooks into other libraries.

Standard library only.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = [
    "OURS",
    "Channel",
    "Notice",
    "RekindleWarning",
    "Say",
    "adopt_loggers",
    "collecting",
    "current",
    "opened",
    "warn",
]

Say = Callable[[str], None]
"""Shows a line of text to the user."""
OURS = "rekindle"
PACKAGE = Path(__file__).parent
DISTINCT = 256
"""Most different texts of a channel; further ones are counted together."""
LONGEST = 2000
"""Most characters of a text."""


class RekindleWarning(UserWarning):
    """Warning of our own code; the run continues."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The text of a warning and its source: ``rekindle``, or the name of a library."""

    text: str
    source: str = OURS


FURTHER = Notice(f"more than {DISTINCT} different warnings: further ones are counted and not shown")


class Log(Protocol):
    """Log that keeps the notices of a channel."""

    def add(self, notice: Notice, *, shown: bool) -> None:
        """Keep a notice; ``shown`` is True for its first occurrence in this channel."""
        ...


class Channel:
    """Shows each distinct notice once and counts its occurrences; may be used from any thread."""

    def __init__(self, show: Callable[[Notice, int], None]) -> None:
        """``show`` is called with a new notice and 1, and on closing with each repeated notice and its count."""
        self._show = show
        self._counts: dict[Notice, int] = {}
        self._log: Log | None = None
        self._lock = threading.RLock()

    def say(self, text: str, source: str = OURS) -> None:
        """Show a text, if it was not shown before, and count it."""
        notice = Notice(_one_line(text), source)
        with self._lock:
            if notice not in self._counts and len(self._counts) >= DISTINCT:
                notice = FURTHER
            is_new = notice not in self._counts
            self._counts[notice] = self._counts.get(notice, 0) + 1
            if is_new:
                self._show(notice, 1)
            if self._log is not None:
                self._log.add(notice, shown=is_new)

    @contextmanager
    def kept_in(self, log: Log) -> Iterator[None]:
        """Keep all notices of the channel in ``log``, earlier ones included."""
        with self._lock:
            for notice, count in self._counts.items():
                for number in range(count):
                    log.add(notice, shown=number == 0)
            before, self._log = self._log, log
        try:
            yield
        finally:
            with self._lock:
                self._log = before

    def close(self) -> None:
        """Show the counts of the repeated notices."""
        with self._lock:
            for notice, count in self._counts.items():
                if count > 1:
                    self._show(notice, count)
            self._counts.clear()


_open: list[Channel] = []
"""Open channels, the innermost last."""


def current() -> Channel | None:
    """The innermost open channel; None: there is none, and warnings are Python's."""
    return _open[-1] if _open else None


def warn(text: str, *, stacklevel: int = 1) -> None:
    """Warn the user: what is wrong, where, the remedy.

    Args:
        text: One or two sentences.
        stacklevel: Stack level of the Python warning where there is no channel; 1 is the caller, as in
            ``warnings.warn``.
    """
    channel = current()
    if channel is None:
        warnings.warn(text, RekindleWarning, stacklevel=stacklevel + 1)
    else:
        channel.say(text)


@contextmanager
def collecting(show: Callable[[Notice, int], None]) -> Iterator[Channel]:
    """Open a channel, and send the warnings and log records of all libraries into it.

    Args:
        show: See ``Channel``.
    """
    channel = Channel(show)
    handler = _Handler(channel)
    root = logging.getLogger()
    with warnings.catch_warnings():
        warnings.simplefilter("always", append=True)  # after the user's own filters: the channel counts repetitions
        if not sys.warnoptions:
            warnings.simplefilter("ignore", DeprecationWarning)  # for the library's developers
        warnings.showwarning = _receiver(channel)
        root.addHandler(handler)
        _open.append(channel)
        try:
            yield channel
        finally:
            channel.close()
            _open.remove(channel)
            root.removeHandler(handler)
            handler.give_back()


@contextmanager
def opened() -> Iterator[Channel]:
    """The open channel, or else a new one that shows its notices as Python warnings and has no hooks in libraries."""
    if (channel := current()) is not None:
        yield channel
        return
    channel = Channel(_as_python_warning)
    _open.append(channel)
    try:
        yield channel
    finally:
        _open.remove(channel)


def _as_python_warning(notice: Notice, count: int) -> None:
    if count == 1:
        warnings.warn(notice.text, RekindleWarning, stacklevel=4)


def adopt_loggers() -> None:
    """Redirect loggers with terminal handlers of their own into the channel, until it closes.

    transformers and torch install such handlers when they are imported, so call this after the imports. Without a
    channel it has no effect.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.adopt()


# -- warnings and log records of libraries -----------------------------------------------------------------------------


def _receiver(channel: Channel) -> Callable[..., None]:
    def showwarning(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
        ours = issubclass(category, RekindleWarning)
        channel.say(str(message), OURS if ours else _library(filename))

    return showwarning


def _library(filename: str) -> str:
    """The installed package that a file belongs to, else the file's own name."""
    parts = Path(filename).parts
    for place in ("site-packages", "dist-packages"):
        if place in parts[:-1]:
            return parts[parts.index(place) + 1].removesuffix(".py")
    return OURS if Path(filename).is_relative_to(PACKAGE) else Path(filename).stem


class _Handler(logging.Handler):
    """Logging handler that passes records of level WARNING and above to the channel."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel
        self._adopted: list[tuple[logging.Logger, list[logging.Handler], bool]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({''.join(traceback.format_exception_only(record.exc_info[1])).strip()})"
        self._channel.say(text, record.name.split(".")[0])

    def adopt(self) -> None:
        for logger in list(logging.Logger.manager.loggerDict.values()):
            if not isinstance(logger, logging.Logger):
                continue
            others = [handler for handler in logger.handlers if not _writes_to_the_terminal(handler)]
            if len(others) < len(logger.handlers):
                self._adopted.append((logger, logger.handlers, logger.propagate))
                logger.handlers, logger.propagate = others, True

    def give_back(self) -> None:
        for logger, handlers, propagate in reversed(self._adopted):
            logger.handlers, logger.propagate = handlers, propagate
        self._adopted.clear()


def _writes_to_the_terminal(handler: logging.Handler) -> bool:
    streams = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    return isinstance(handler, logging.StreamHandler) and any(handler.stream is one for one in streams)


def _one_line(text: str) -> str:
    """The text on one line, without control characters."""
    words = "".join(one if one.isprintable() else " " for one in text).split()
    line = " ".join(words)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
