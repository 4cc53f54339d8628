"""Interrupting a command: at once before its first step, after a step from then on."""

import signal
from types import FrameType

from rekindle.cli.messages import say

__all__ = ["Interrupts"]


class Interrupts:
    """Ctrl-C or a termination signal ends the command at once while it prepares.

    After ``begin`` it asks the command to stop after its step; a second one stops at once.
    """

    def __init__(self) -> None:
        self.asked = False
        self._begun = False

    def begin(self) -> None:
        """The first step begins: from here on there is something to finish."""
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
