"""What commands share: interrupting politely, and saying what takes a while."""

import signal
import sys
from types import FrameType

__all__ = ["Interrupts", "say"]


def say(text: str) -> None:
    """A line for people, on standard error; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


class Interrupts:
    """Ctrl-C or a termination signal asks the run to stop after its step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("interrupted: stopping after this step (once more to stop at once) ...")
