"""Shares with their uncertainty: intervals, and whether two differ."""

from dataclasses import dataclass

from rekindle.statistics.intervals import normal_quantile, wilson

__all__ = ["Share"]


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
        return wilson(self.part, self.whole)

    def differs(self, other: "Share") -> bool:
        """Whether the difference is significant (two proportions, 95 %)."""
        pooled = (self.part + other.part) / (self.whole + other.whole)
        error: float = (max(0.0, pooled * (1 - pooled)) * (1 / self.whole + 1 / other.whole)) ** 0.5
        return abs(self.value - other.value) > normal_quantile() * error
