"""Exact match of strings. It runs in this process, because comparing strings executes no code."""

from collections.abc import Sequence

from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.unicode_forms import normalized
from rekindle.verifiers.verifier import Verdict

__all__ = ["ExactMatchVerifier", "exact_match"]


def exact_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1.0 when ``prediction`` equals one of ``answers`` after stripping and Unicode NFC; else 0.0."""
    accepted = (answers,) if isinstance(answers, str) else answers
    return float(_normalized(prediction) in {_normalized(answer) for answer in accepted})


class ExactMatchVerifier:
    """Verifier: ``exact_match`` of a completion's final answer with the task's answers."""

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; a task without a reference answer gives the failure ``"error"``."""
        return [self._verdict(task, text) for task, text in items]

    def close(self) -> None:
        """Do nothing; there is nothing to close."""

    @staticmethod
    def _verdict(task: Task, text: str) -> Verdict:
        if not task.answer:
            return Verdict(0.0, "error")
        return Verdict(exact_match(final_answer(text), task.answer))


def _normalized(text: str) -> str:
    return normalized("NFC", text).strip()
