"""Short answers to questions, judged by their words: exact match, cover match and F1 after normalisation.

Scores are in [0, 1]; of several accepted answers (aliases) the best counts. What the tokens are is in ``normalize``.
From HotpotQA (arXiv 1809.09600) comes the rule that yes, no and noanswer are not matched in part.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from rekindle.types import Task
from rekindle.verifiers.exact import final_answer
from rekindle.verifiers.normalize import Tokens, answer_tokens
from rekindle.verifiers.verifier import Verdict

__all__ = ["MAX_FURTHER_TOKENS", "QaMetric", "QaVerifier", "cover_match", "f1", "qa_exact_match"]

QaMetric = Literal["qa_exact_match", "cover_match", "f1"]

MAX_FURTHER_TOKENS = 10
"""Tokens beside the reference's that ``QaVerifier`` lets an answer that covers it have."""
CLOSED = frozenset({("yes",), ("no",), ("noanswer",)})
"""Answers to which there is nothing between right and wrong."""


def qa_exact_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1.0 when ``prediction`` and one of ``answers`` have the same tokens, else 0.0; nothing matches an empty one."""
    return _best(prediction, answers, _same)


def cover_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1.0 when the tokens of one of ``answers`` stand in ``prediction``, next to one another and in order; else 0.0.

    Tokens are whole words, and single characters of Chinese, Japanese and Korean. Yes, no and noanswer must come first,
    and no other of the three may follow. ``prediction`` may be of any length here; as a reward this would pay for
    lists of guesses, which ``QaVerifier`` does not.
    """
    return _best(prediction, answers, _covers)


def f1(prediction: str, answers: str | Sequence[str]) -> float:
    """Harmonic mean of the tokens' precision and recall, repeated ones counted; no part of yes, no, noanswer."""
    return _best(prediction, answers, _f1)


class QaVerifier:
    """One of the three for a completion's final answer and the task's answers.

    With ``cover_match`` an answer with more than ``MAX_FURTHER_TOKENS`` tokens beside those of the reference scores 0:
    a list of everything that comes to mind covers the reference without answering the question.

    Args:
        metric: Which.
    """

    def __init__(self, metric: QaMetric) -> None:
        self._score: Scorer = {"qa_exact_match": _same, "cover_match": _covers_briefly, "f1": _f1}[metric]

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; a task without a reference answer gives the failure ``"error"``."""
        return [self._verdict(task, text) for task, text in items]

    def close(self) -> None:
        """Nothing to end."""

    def _verdict(self, task: Task, text: str) -> Verdict:
        if not any(_references(task.answer)):
            return Verdict(0.0, "error")
        return Verdict(_best(final_answer(text), task.answer, self._score))


Scorer = Callable[[Tokens, Tokens], float]
"""From the tokens of a prediction and of one answer, neither empty."""


def _references(answers: str | Sequence[str]) -> Iterator[Tokens]:
    return map(answer_tokens, (answers,) if isinstance(answers, str) else answers)


def _best(prediction: str, answers: str | Sequence[str], score: Scorer) -> float:
    given = answer_tokens(prediction)
    return max((score(given, wanted) for wanted in _references(answers) if given and wanted), default=0.0)


def _same(given: Tokens, wanted: Tokens) -> float:
    return float(given == wanted)


def _covers(given: Tokens, wanted: Tokens) -> float:
    if wanted in CLOSED:
        return float(given[:1] == wanted and not any((token,) in CLOSED - {wanted} for token in given))
    size = len(wanted)
    return float(any(given[start : start + size] == wanted for start in range(len(given) - size + 1)))


def _covers_briefly(given: Tokens, wanted: Tokens) -> float:
    return _covers(given, wanted) if len(given) <= len(wanted) + MAX_FURTHER_TOKENS else 0.0


def _f1(given: Tokens, wanted: Tokens) -> float:
    if given != wanted and (given in CLOSED or wanted in CLOSED):
        return 0.0
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))
