"""The verifier protocol and its verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.types import Task, UserError

__all__ = ["Verdict", "Verifier", "VerifierError", "checked_verdict"]


class VerifierError(UserError):
    """A verifier cannot be started or used; the message gives the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement of one completion, e.g. ``Verdict(1.0)`` or ``Verdict(0.0, "timeout")``.

    Attributes:
        score: In [0, 1]; 0 where there is a failure.
        failure: None, or the reason of a missing judgement: ``"timeout"`` (the time limit passed), ``"crash"`` (the
            process died or wrote nonsense), ``"error"`` (the scorer raised, its score is not in [0, 1], or the task has
            no reference answer) or ``"judge"`` (the judge gave no verdict).
        void: True when the completion did not cause the failure (the judge is down); it then counts as unjudged, not
            wrong.
    """

    score: float
    failure: str | None = None
    void: bool = False


class Verifier(Protocol):
    """Verifier protocol. It raises no exception because of a completion, and a failed judgement gives no credit."""

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """Judge ``(task, completion text)`` pairs; verdicts in the same order."""
        ...

    def close(self) -> None:
        """End worker processes. May be called twice."""
        ...


def checked_verdict(score: object) -> Verdict:
    """Turn a scorer's result into a verdict; anything but a number in [0, 1] is an error, also NaN."""
    if isinstance(score, int | float) and 0 <= score <= 1:
        return Verdict(float(score))
    return Verdict(0.0, "error")
