"""Interruption of a command: at once before its first step, afterwards at the end of a step."""

import signal
import threading
from types import FrameType

from rekindle.notices import Say

__all__ = ["Interrupts"]


class Interrupts:
    """Handler of Ctrl-C and termination signals.

    Before ``begin`` a signal ends the command at once. Afterwards the first signal asks the command to stop at the end
    of its step (``asked``), and a second one ends it at once. An early signal can be lost, because Python drops an
    exception in a finalizer and some libraries catch every exception of an import; ``check`` finds it again.

    Python delivers signals to the main thread alone; in another thread nothing is handled.

    Args:
        say: Shows a line to the user.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self.asked = False
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
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self._before = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self._begun:
            raise KeyboardInterrupt
        self.asked = True
        self.check()
        self._say("interrupted: stopping after this step (once more to stop at once) ...")
