"""What a verifier is, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.types import Task, UserError

__all__ = ["Verdict", "Verifier", "VerifierError", "checked_verdict"]


class VerifierError(UserError):
    """A verifier cannot be started or used; the message says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement of one completion, e.g. ``Verdict(1.0)`` or ``Verdict(0.0, "timeout")``.

    Attributes:
        score: In [0, 1]; 0 where there is a failure.
        failure: None, or why there is no judgement: ``"timeout"`` (the time limit passed), ``"crash"`` (the process
            died or wrote nonsense), ``"error"`` (the scorer raised, its score is no number in [0, 1], or the task
            has no reference answer) or ``"judge"`` (no verdict could be had from a judge).
        void: True when the failure is not the completion's doing (a dead judge): no wrong answer either.
    """

    score: float
    failure: str | None = None
    void: bool = False


class Verifier(Protocol):
    """Judges completions; it never raises over one of them and never gives credit for what it could not judge."""

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """Judge ``(task, completion text)`` pairs; the verdicts are in their order."""
        ...

    def close(self) -> None:
        """End worker processes. May be called twice."""
        ...


def checked_verdict(score: object) -> Verdict:
    """Turn a scorer's result into a verdict; what is not a number in [0, 1], NaN included, is an error."""
    if isinstance(score, int | float) and 0 <= score <= 1:
        return Verdict(float(score))
    return Verdict(0.0, "error")
