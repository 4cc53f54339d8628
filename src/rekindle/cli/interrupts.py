"""Interruption of a command: at once before its first step, afterwards at the end of a step."""

import signal
from types import FrameType

from rekindle.cli.messages import say

__all__ = ["Interrupts"]


class Interrupts:
    """Handler of Ctrl-C and termination signals.

    Before ``begin`` a signal ends the command at once. Afterwards the first signal asks the command to stop at the end
    of its step (``asked``), and a second one ends it at once. An early signal can be lost, because Python drops an
    exception in a finalizer and some libraries catch every exception of an import; ``check`` finds it again.
    """

    def __init__(self) -> None:
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
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self._begun:
            raise KeyboardInterrupt
        self.asked = True
        self.check()
        say("interrupted: stopping after this step (once more to stop at once) ...")
