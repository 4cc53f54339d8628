"""Shares with their uncertainty: intervals, and whether two differ."""

from dataclasses import dataclass

__all__ = ["Share"]

_Z = 1.96
"""Normal quantile of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of a number of prompts or questions: ``Share(93, 100)``.

    Attributes:
        part: At most ``whole``; for a mean success rate, rate * ``whole``.
        whole: Number of prompts, at least 1.
    """

    part: float
    whole: float

    @property
    def value(self) -> float:
        """In [0, 1]."""
        return self.part / self.whole

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval from the number of prompts: several rollouts of one are not independent.

        It has a width at 0 and 1 as well: of 256 prompts none means at most 1.5 %.
        """
        share, count = self.value, self.whole
        middle = share + _Z**2 / (2 * count)
        width = _Z * (share * (1 - share) / count + _Z**2 / (4 * count**2)) ** 0.5
        low, high = ((middle + sign * width) / (1 + _Z**2 / count) for sign in (-1, 1))
        return max(0.0, low), min(1.0, high)

    def differs(self, other: "Share") -> bool:
        """Whether the difference is significant (two proportions, 95 %)."""
        pooled = (self.part + other.part) / (self.whole + other.whole)
        error: float = (max(0.0, pooled * (1 - pooled)) * (1 / self.whole + 1 / other.whole)) ** 0.5
        return abs(self.value - other.value) > _Z * error
