"""Lines for people, on standard error; standard output is for results."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from rekindle.notices import OURS, Channel, Notice, collecting

__all__ = ["Messages", "messages", "say"]

QUIET_SECONDS = 10.0
REPEATED = 160
"""Most characters of a warning whose count is said."""


class Messages:
    """Lines, warnings, and a status that a terminal shows in one line; none of them tears another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._width = 0
        """Of the status that stands in the terminal's last line."""
        self._said_at = -QUIET_SECONDS

    def say(self, text: str) -> None:
        """A line."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def status(self, text: str, *, last: bool = False) -> None:
        """What is going on now: it replaces the one before, or is a line every ten seconds where that is impossible."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text:<{self._width}}")
            self._width = len(text)
            if last:
                sys.stderr.write("\n")
                self._width = 0
            sys.stderr.flush()
        elif last or self._clock() - self._said_at >= QUIET_SECONDS:
            self._said_at = self._clock()
            self.say(text)

    def warn(self, notice: Notice, count: int) -> None:
        """A warning; with a count when it was said more than once."""
        by = "" if notice.source == OURS else f" [{notice.source}]"
        if count == 1:
            self.say(f"rekindle: warning: {notice.text}{by}")
        else:
            cut = notice.text if len(notice.text) <= REPEATED else f"{notice.text[:REPEATED]} ..."
            self.say(f"rekindle: warning: said {count:,} times: {cut}{by}")

    def collected(self) -> AbstractContextManager[Channel]:
        """Show the warnings of everybody here."""
        return collecting(self.warn)

    def _clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            self._width = 0


messages = Messages()
say = messages.say
