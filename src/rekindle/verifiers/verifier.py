"""The verifier protocol and its verdicts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from rekindle.types import Task, UserError

__all__ = ["Verdict", "Verifier", "VerifierError", "Written", "WrittenVerifier", "checked_verdict", "draw_of", "judged"]


class VerifierError(UserError):
    """A verifier cannot be started or used; the message gives the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement of one completion, e.g. ``Verdict(1.0)`` or ``Verdict(0.0, "timeout")``.

    Attributes:
        score: In [0, 1] of a built-in verifier, any finite number of reward functions; 0 where there is a failure.
        failure: None, or the reason of a missing judgement: ``"timeout"`` (the time limit passed), ``"crash"`` (the
            process died or wrote nonsense), ``"error"`` (the scorer raised, its score is not in [0, 1], or the task has
            no reference answer), ``"judge"`` (the judge gave no verdict), ``"reward NAME: ..."`` (a reward function
            failed in one of these ways) or ``"none"`` (no reward function applies).
        void: True when the completion did not cause the failure (the judge is down, a reward function raised); it then
            counts as unjudged, not wrong.
        parts: Value of each reward function by name, before weights; None where it does not apply.
        audits: Scores of audits by name; None where there is no verdict.
    """

    score: float
    failure: str | None = None
    void: bool = False
    parts: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    audits: Mapping[str, float | None] = field(default_factory=dict, hash=False)


class Written(NamedTuple):
    """What the policy wrote.

    Attributes:
        text: The sampled text, without the mark of a thought that the prompt begins.
        token_ids: The sampled tokens; empty where they are not known.
        draw: Uniform in [0, 1), a function of the request's seed and the rollout's place in it.
    """

    text: str
    token_ids: Sequence[int] = ()
    draw: float = 0.0


def draw_of(seed: int, place: int) -> float:
    """The draw of the rollout at ``place`` (from 0) of a request with ``seed``; independent of its sampling."""
    digest = hashlib.blake2b(f"{seed}/{place}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


Items = Sequence[tuple[Task, str]]


class Verifier(Protocol):
    """Verifier protocol. It raises no exception because of a completion, and a failed judgement gives no credit."""

    def judge(self, items: Items) -> list[Verdict]:
        """Judge ``(task, completion text)`` pairs; verdicts in the same order."""
        ...

    def close(self) -> None:
        """End worker processes. May be called twice."""
        ...


@runtime_checkable
class WrittenVerifier(Verifier, Protocol):
    """A verifier that also reads what was sampled, beside the text that is judged."""

    def judge_written(self, items: Items, written: Sequence[Written]) -> list[Verdict]:
        """Judge as ``judge`` does; ``written`` belongs to ``items``, one by one."""
        ...


def judged(verifier: Verifier, items: Items, written: Sequence[Written]) -> list[Verdict]:
    """Verdicts of any verifier; ``written`` goes to those that read it."""
    if isinstance(verifier, WrittenVerifier):
        return verifier.judge_written(items, written)
    return verifier.judge(items)


def checked_verdict(score: object) -> Verdict:
    """Turn a scorer's result into a verdict; anything but a number in [0, 1] is an error, also NaN."""
    if isinstance(score, int | float) and 0 <= score <= 1:
        return Verdict(float(score))
    return Verdict(0.0, "error")
