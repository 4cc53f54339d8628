"""A circuit breaker: after repeated failures, no attempts for a while."""

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Counts failures in a row; not thread-safe.

    closed: every attempt is allowed. After ``failures`` failures in a row, open: none is allowed for
    ``cooldown_seconds``. Then half open: one attempt is allowed. Its success closes the breaker, its failure opens it
    for twice as long.

    Args:
        failures: Number of failures in a row that opens it.
        cooldown_seconds: First pause.
        longest_seconds: Longest pause.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        failures: int = 5,
        cooldown_seconds: float = 5.0,
        longest_seconds: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold, self._first, self._longest = failures, cooldown_seconds, longest_seconds
        self._clock = clock
        self._failures, self._cooldown, self._until = 0, cooldown_seconds, 0.0
        self._open = self._probing = False

    def wait(self) -> float | None:
        """Return None when an attempt is allowed (report its result), else the seconds to wait."""
        if not self._open:
            return None
        left = self._until - self._clock()
        if left > 0 or self._probing:
            return max(left, 0.0)
        self._probing = True
        return None

    def succeeded(self) -> None:
        """Report that an attempt succeeded."""
        self._failures, self._cooldown = 0, self._first
        self._open = self._probing = False

    def failed(self) -> None:
        """Report that an attempt failed. A failure during the pause, of an earlier attempt, changes nothing."""
        self._failures += 1
        if self._open:
            if self._clock() < self._until:
                return
            self._cooldown = min(2 * self._cooldown, self._longest)
        if self._open or self._failures >= self._threshold:
            self._open, self._probing = True, False
            self._until = self._clock() + self._cooldown

    def undecided(self) -> None:
        """Report that an attempt was cancelled or failed for another reason; the next attempt is allowed."""
        self._probing = False
