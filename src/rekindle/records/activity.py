"""What a run is doing: the part of its step, rollouts that have ended, and tokens per second."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Activity", "Doing", "Part"]


class Part(StrEnum):
    """Part of a step; the value is what people read."""

    PREPARING = "preparing tasks"
    ROLLING_OUT = "rolling out"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "writing the checkpoint"


@dataclass(frozen=True, slots=True)
class Doing:
    """State of a part at a moment.

    Attributes:
        part: The part.
        expected: Rollouts that the part will make; 0: unknown.
        ended: Rollouts that have ended, at most ``expected`` where that is known.
        tokens: Tokens sampled in the part.
        seconds: Seconds since it began.
    """

    part: Part
    expected: int
    ended: int
    tokens: int
    seconds: float


@dataclass(slots=True)
class _Begun:
    """A part since it began: rollouts and tokens of the engine before it, and rollouts told since."""

    part: Part
    began: float
    before: tuple[int, int]
    expected: int
    told: int = 0


class Activity:
    """The part of a step that a run is in. The training loop writes it; displays read it at any time, from any thread.

    Args:
        sampled: Returns (rollouts ended, tokens sampled) of the engine since its start; None: the engine does not
            count, and rollouts count when their group is finished.
        clock: Time in seconds.
    """

    def __init__(
        self, sampled: Callable[[], tuple[int, int]] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sampled, self._clock = sampled, clock
        self._begun: _Begun | None = None

    def begin(self, part: Part, expected: int = 0) -> None:
        """Begin a part, which will make ``expected`` rollouts (0: unknown)."""
        before = self._sampled() if self._sampled else (0, 0)
        self._begun = _Begun(part, self._clock(), before, expected)

    def expect(self, rollouts: int) -> None:
        """Add to the rollouts that the part will make."""
        if self._begun is not None:
            self._begun.expected += rollouts

    def tell(self, rollouts: int) -> None:
        """Count the rollouts of a finished group."""
        if self._begun is not None:
            self._begun.told += rollouts

    def read(self) -> Doing | None:
        """The part at this moment; None before the first."""
        begun = self._begun
        if begun is None:
            return None
        ended, tokens = self._sampled() if self._sampled else (0, 0)
        # An engine counts earlier; groups that no engine played are told only.
        ended = max(ended - begun.before[0], begun.told)
        return Doing(
            begun.part,
            begun.expected,
            min(ended, begun.expected) if begun.expected else ended,
            tokens - begun.before[1],
            self._clock() - begun.began,
        )
