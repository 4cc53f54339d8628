"""Verifier with audits: further judges whose scores go into ``Verdict.audits``, and nowhere else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rekindle.notices import warn
from rekindle.types import UserError
from rekindle.verifiers.function_calls import Problem
from rekindle.verifiers.functions import FunctionJudge
from rekindle.verifiers.verifier import Items, Verdict, Verifier, Written, judged
from rekindle.verifiers.weighted import Troubles

__all__ = ["Audit", "AuditedVerifier", "function_audit", "verifier_audit"]


@dataclass(frozen=True, slots=True)
class Audit:
    """A second opinion.

    Attributes:
        name: Unique among the audits.
        share: Share of the rollouts that it judges.
        scores: Judges rollouts; None where there is no verdict.
        close: Ends its processes.
    """

    name: str
    share: float
    scores: Callable[[Items, Sequence[Written]], list[float | None]]
    close: Callable[[], None]


def function_audit(name: str, share: float, judge: FunctionJudge) -> Audit:
    """The audit of a function; a failure is said, and is no verdict."""
    troubles = Troubles(f'audit "{name}"')

    def scores(items: Items, written: Sequence[Written]) -> list[float | None]:
        outcomes = judge.outcomes(items, written)
        for outcome in outcomes:
            if isinstance(outcome, Problem):
                troubles.note(outcome)
        return [None if isinstance(one, Problem) else one for one in outcomes]

    return Audit(name, share, scores, judge.close)


def verifier_audit(name: str, share: float, verifier: Verifier) -> Audit:
    """The audit of a built-in verifier; a failure is no verdict."""

    def scores(items: Items, written: Sequence[Written]) -> list[float | None]:
        return [one.score if one.failure is None else None for one in verifier.judge(items)]

    return Audit(name, share, scores, verifier.close)


class AuditedVerifier:
    """Verifier: the verdicts of another one, with the scores of audits beside them.

    ``judge`` has no audits: what it judges are not the rollouts of a policy in training.

    Args:
        verifier: Its verdicts are returned as they are.
        audits: Each judges the rollouts whose ``Written.draw`` is below its share, void ones left out.
        whole: Whether the audits judge all rollouts instead.
    """

    def __init__(self, verifier: Verifier, audits: Sequence[Audit], *, whole: bool = False) -> None:
        self.verifier, self._audits, self._whole = verifier, tuple(audits), whole

    def judging_all(self) -> "AuditedVerifier":
        """The same, with the same processes, whose audits judge every rollout."""
        return AuditedVerifier(self.verifier, self._audits, whole=True)

    def judge(self, items: Items) -> list[Verdict]:
        """See ``Verifier.judge``."""
        return self.verifier.judge(items)

    def judge_written(self, items: Items, written: Sequence[Written]) -> list[Verdict]:
        """See ``WrittenVerifier``."""
        verdicts = judged(self.verifier, items, written)
        found: list[dict[str, float | None]] = [{} for _ in verdicts]
        for audit in self._audits:
            share = 1.0 if self._whole else audit.share
            chosen = [
                index
                for index, (one, verdict) in enumerate(zip(written, verdicts, strict=True))
                if one.draw < share and not verdict.void
            ]
            scores = _scores(audit, [items[index] for index in chosen], [written[index] for index in chosen])
            for index, score in zip(chosen, scores, strict=True):
                found[index][audit.name] = score
        return [replace(verdict, audits=audits) for verdict, audits in zip(verdicts, found, strict=True)]

    def close(self) -> None:
        """End all worker processes. May be called twice."""
        self.verifier.close()
        for audit in self._audits:
            audit.close()


def _scores(audit: Audit, items: Items, written: Sequence[Written]) -> list[float | None]:
    """Scores of an audit; where it cannot work, that is said, and the run goes on without them."""
    try:
        return audit.scores(items, written) if items else []
    except UserError as error:
        warn(f'audit "{audit.name}" failed: {error}', stacklevel=4)
        return [None] * len(items)
