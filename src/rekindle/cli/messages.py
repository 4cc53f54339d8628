"""Messages, warnings and status on standard error; standard output is for results."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from rekindle.notices import OURS, Channel, Notice, collecting

__all__ = ["Messages", "messages", "say"]

QUIET_SECONDS = 10.0
REPEATED = 160
"""Most characters of a warning that is shown again with its count."""


class Messages:
    """Shows lines, warnings, and a status line that is rewritten in a terminal, without mixing them up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._width = 0
        """Width of the status in the terminal's last line."""
        self._status_at = -QUIET_SECONDS

    def say(self, text: str) -> None:
        """Show a line."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def status(self, text: str, *, last: bool = False) -> None:
        """Show a status: in a terminal it replaces the one before, elsewhere it is a line at most every ten seconds."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text:<{self._width}}")
            self._width = len(text)
            if last:
                sys.stderr.write("\n")
                self._width = 0
            sys.stderr.flush()
        elif last or self._clock() - self._status_at >= QUIET_SECONDS:
            self._status_at = self._clock()
            self.say(text)

    def warn(self, notice: Notice, count: int) -> None:
        """Show a warning, or its count when it was repeated."""
        by = "" if notice.source == OURS else f" [{notice.source}]"
        if count == 1:
            self.say(f"rekindle: warning: {notice.text}{by}")
        else:
            cut = notice.text if len(notice.text) <= REPEATED else f"{notice.text[:REPEATED]} ..."
            self.say(f"rekindle: warning: repeated {count:,} times: {cut}{by}")

    def collected(self) -> AbstractContextManager[Channel]:
        """Context in which all warnings are shown here."""
        return collecting(self.warn)

    def _clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            self._width = 0


messages = Messages()
say = messages.say
