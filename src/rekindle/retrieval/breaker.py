"""A circuit breaker: who has failed again and again is left alone for a while."""

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Counts failures in a row; not thread-safe.

    closed: everybody may try. After ``failures`` failures in a row, open: nobody may try for ``cooldown_seconds``.
    Then half open: one may try. Its success closes the breaker, its failure opens it for twice as long.

    Args:
        failures: In a row, that open it.
        cooldown_seconds: First pause.
        longest_seconds: No pause becomes longer.
        clock: Seconds that only go up.
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
        """Ask whether to try: None for yes (then report how it went), or else seconds until it makes sense again."""
        if not self._open:
            return None
        left = self._until - self._clock()
        if left > 0 or self._probing:
            return max(left, 0.0)
        self._probing = True
        return None

    def succeeded(self) -> None:
        """It went well."""
        self._failures, self._cooldown = 0, self._first
        self._open = self._probing = False

    def failed(self) -> None:
        """It failed. What was begun before the breaker opened, and fails during the pause, changes nothing."""
        self._failures += 1
        if self._open:
            if self._clock() < self._until:
                return
            self._cooldown = min(2 * self._cooldown, self._longest)
        if self._open or self._failures >= self._threshold:
            self._open, self._probing = True, False
            self._until = self._clock() + self._cooldown

    def undecided(self) -> None:
        """It was given up, or failed for another reason; the next one may try."""
        self._probing = False
