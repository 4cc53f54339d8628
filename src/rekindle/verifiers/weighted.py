"""Verifier of several rewards: the weighted sum of reward functions, perhaps with a built-in verifier.

    score = sum of weight_i x value_i, over the rewards that apply (whose value is not None)

A reward that fails (it raises, hangs, or returns no finite number) leaves the rollout without a verdict: it is void,
and its group is not trained on, because with rewards of any range no number is a safe substitute. The same holds where
no reward applies.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rekindle.notices import warn
from rekindle.types import Task
from rekindle.verifiers.function_calls import Outcome, Problem
from rekindle.verifiers.functions import FunctionJudge
from rekindle.verifiers.verifier import Items, Verdict, Verifier, Written

__all__ = ["Part", "Troubles", "WeightedVerifier", "function_part", "verifier_part"]

PartVerdict = tuple[float | None, str | None, bool]
"""Value, failure, and whether it is void."""


class Troubles:
    """Says what goes wrong with a function, each kind once in the same words.

    Args:
        name: What fails, e.g. ``reward "score"``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._texts: dict[tuple[str, str, str], str] = {}
        self.last = ""

    def note(self, problem: Problem) -> None:
        """Warn of a problem; further ones of the same kind and place are counted under the words of the first."""
        words = problem.text.split()
        kind = (problem.kind, words[0], words[-1])  # the exception, and the line of its place
        text = self._texts.setdefault(kind, f"{self._name} failed: {problem.text}")
        self.last = text
        warn(text, stacklevel=3)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the rewards.

    Attributes:
        name: Unique among the parts.
        weight: Above 0.
        verdicts: Judges rollouts.
        waits: Whether it mostly waits, so that others can judge meanwhile.
        trouble: The last problem as a sentence; "" where there was none.
        close: Ends its processes.
    """

    name: str
    weight: float
    verdicts: Callable[[Items, Sequence[Written]], list[PartVerdict]]
    waits: bool
    trouble: Callable[[], str]
    close: Callable[[], None]


def function_part(name: str, weight: float, judge: FunctionJudge) -> Part:
    """The part of a reward function."""
    troubles = Troubles(f'reward "{name}"')

    def verdict(outcome: Outcome) -> PartVerdict:
        if isinstance(outcome, Problem):
            troubles.note(outcome)
            return None, f"reward {name}: {outcome.kind}", True
        return outcome, None, False

    def verdicts(items: Items, written: Sequence[Written]) -> list[PartVerdict]:
        return [verdict(outcome) for outcome in judge.outcomes(items, written)]

    return Part(name, weight, verdicts, judge.waits, lambda: troubles.last, judge.close)


def verifier_part(name: str, weight: float, verifier: Verifier) -> Part:
    """The part of a built-in verifier; a failure of it that is not void is a 0, as it is where it judges alone."""

    def verdicts(items: Items, written: Sequence[Written]) -> list[PartVerdict]:
        found = verifier.judge(items)
        return [(None if one.void else one.score, one.failure, one.void) for one in found]

    return Part(name, weight, verdicts, False, lambda: "", verifier.close)


class WeightedVerifier:
    """Verifier: the weighted sum of its parts (see the module).

    Args:
        parts: At least one.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self.trouble = ""
        """The last reason of a missing verdict as a sentence, where it was a function; else ""."""
        self._unjudged = ""

    def judge(self, items: Items) -> list[Verdict]:
        """See ``Verifier.judge``; the texts count as what was sampled."""
        return self.judge_written(items, [Written(text) for _, text in items])

    def judge_written(self, items: Items, written: Sequence[Written]) -> list[Verdict]:
        """See ``WrittenVerifier``."""
        if not items:
            return []
        columns = self._columns(items, written)
        return [self._verdict(task, row) for (task, _), row in zip(items, zip(*columns, strict=True), strict=True)]

    def close(self) -> None:
        """End all worker processes. May be called twice."""
        for part in self._parts:
            part.close()

    def _columns(self, items: Items, written: Sequence[Written]) -> list[list[PartVerdict]]:
        """Verdicts by part. Parts that wait do so in threads, while the others judge in this one."""
        waiting = [part for part in self._parts if part.waits]
        if len(self._parts) == 1 or not waiting:
            return [part.verdicts(items, written) for part in self._parts]
        with ThreadPoolExecutor(len(waiting)) as threads:
            begun = {part.name: threads.submit(part.verdicts, items, written) for part in waiting}
            own = {part.name: part.verdicts(items, written) for part in self._parts if not part.waits}
            return [begun[part.name].result() if part.waits else own[part.name] for part in self._parts]

    def _verdict(self, task: Task, row: Sequence[PartVerdict]) -> Verdict:
        parts = {part.name: value for part, (value, _, _) in zip(self._parts, row, strict=True)}
        missing = next(((part, reason) for part, (_, reason, void) in zip(self._parts, row, strict=True) if void), None)
        if missing is not None:
            self.trouble = missing[0].trouble()
            return Verdict(0.0, missing[1], void=True, parts=parts)
        values = [
            (part.weight, value) for part, (value, _, _) in zip(self._parts, row, strict=True) if value is not None
        ]
        if not values:
            self._unjudged = self._unjudged or (
                f"no reward applies to task {task.id!r}: every function returned None; such groups are not trained on"
            )
            self.trouble = self._unjudged
            warn(self._unjudged, stacklevel=3)
            return Verdict(0.0, "none", void=True, parts=parts)
        reason = next((reason for _, reason, _ in row if reason), None)
        return Verdict(sum(weight * value for weight, value in values), reason, parts=parts)
