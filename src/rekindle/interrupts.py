"""Interruption of a command: at once before its first step, afterwards at the end of a step."""

import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from rekindle.notices import Say

__all__ = ["Interrupts", "Pace"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Pace:
    """Pace of the steps, from which the rest of the one that is being made is estimated.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._last: float | None = None
        self._evaluation = 0.0

    def mark(self, evaluation: float = 0.0) -> None:
        """A step has ended.

        Args:
            evaluation: Seconds of the evaluation in it.
        """
        now = self._clock()
        self._last, self._began = now - self._began - evaluation, now
        self._evaluation = evaluation or self._evaluation

    def rest(self) -> str:
        """How long the step will take, as words; "" where no step has ended yet."""
        if self._last is None:
            return ""
        left = max(0.0, self._last - (self._clock() - self._began))
        more = f", {self._evaluation:.0f} s more where it is evaluated" if self._evaluation >= 1 else ""
        return f", in about {left:.0f} s{more}"


class Interrupts:
    """Handler of Ctrl-C, termination signals and the loss of the terminal (SIGHUP, unless it was ignored, as by nohup).

    Before ``begin`` a signal ends the command at once. Afterwards the first signal asks the command to stop at the end
    of its step (``asked``), and a second one ends it at once, but for SIGHUP, which shells and the system both send.
    An early signal can be lost, because Python drops an exception in a finalizer and some libraries catch every
    exception of an import; ``check`` finds it again.

    Python delivers signals to the main thread alone; in another thread nothing is handled.

    Args:
        say: Shows a line to the user.
        step: What the command finishes first, in the message.

    Attributes:
        asked: Whether a signal came.
        pace: Pace of the steps; ``mark`` it at the end of each.
    """

    def __init__(self, say: Say, step: str = "step") -> None:
        self._say, self._step = say, step
        self.asked = False
        self.pace = Pace()
        self._begun = False

    def begin(self) -> None:
        """Begin the first step: from now on a signal lets the step finish."""
        self.check()
        self._begun = True

    def check(self) -> None:
        """End the command if a signal came before the first step."""
        if self.asked and not self._begun:
            raise KeyboardInterrupt("before the first step")

    def __enter__(self) -> "Interrupts":
        handled = threading.current_thread() is threading.main_thread()
        ignored = handled and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        numbers = [one for one in SIGNALS if handled and not (ignored and one == signal.SIGHUP)]
        self._before = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _leave_the_terminal()
        if self.asked and self._begun:
            if number == signal.SIGHUP:
                return
            raise KeyboardInterrupt
        self.asked = True
        self.check()
        with suppress(OSError):
            self._say(
                f"interrupted: stopping after this {self._step}{self.pace.rest()} (once more to stop at once) ..."
            )


def _leave_the_terminal() -> None:
    """Let the output of a process whose terminal is gone go nowhere, where writing would be an error."""
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)
