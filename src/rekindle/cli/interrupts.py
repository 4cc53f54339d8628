"""Interruption of a command: at once before its first step, afterwards at the end of a step."""

import signal
from types import FrameType

from rekindle.cli.messages import say

__all__ = ["Interrupts"]


class Interrupts:
    """Handler of Ctrl-C and termination signals.

    Before ``begin`` a signal ends the command at once. Afterwards the first signal asks the command to stop at the end
    of its step (``asked``), and a second one ends it at once.
    """

    def __init__(self) -> None:
        self.asked = False
        self._begun = False

    def begin(self) -> None:
        """Begin the first step: from now on a signal lets the step finish."""
        self._begun = True

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self._begun:
            raise KeyboardInterrupt("before the first step")
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("interrupted: stopping after this step (once more to stop at once) ...")
