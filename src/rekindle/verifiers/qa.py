"""Word-level metrics of short answers to questions: exact match, cover match and F1 after normalisation.

Scores are in [0, 1]; with several accepted answers (aliases) the best score counts. ``normalize`` defines the tokens.
As in HotpotQA (arXiv 1809.09600), yes, no and noanswer get no partial credit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.normalize import AnswerTokens, answer_tokens
from rekindle.verifiers.verifier import Verdict

__all__ = ["MAX_FURTHER_TOKENS", "QaMetric", "QaVerifier", "cover_match", "f1", "qa_exact_match", "repeats_question"]

QaMetric = Literal["qa_exact_match", "cover_match", "f1"]
"""Names of the functions that score a short answer."""

MAX_FURTHER_TOKENS = 10
"""Most extra tokens of an answer that covers a reference, for ``QaVerifier``."""
LEAST_REPEATED = 4
"""Fewest words that repeat a question."""
CLOSED = frozenset({("yes",), ("no",), ("noanswer",)})
"""Answers without partial credit."""


def qa_exact_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1.0 when ``prediction`` and one of ``answers`` have the same tokens, else 0.0; an empty answer never matches."""
    return _best(prediction, answers, _same)


def cover_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1.0 when the tokens of one of ``answers`` occur in ``prediction``, adjacent and in order; else 0.0.

    Tokens are whole words, and single characters of Chinese, Japanese and Korean. Yes, no and noanswer must come first,
    and no other of the three may follow. ``prediction`` may have any length here. As a reward this would pay for lists
    of guesses; ``QaVerifier`` therefore limits the length.
    """
    return _best(prediction, answers, _covers)


def f1(prediction: str, answers: str | Sequence[str]) -> float:
    """Harmonic mean of token precision and recall, counting repeats; yes, no and noanswer get no partial credit."""
    return _best(prediction, answers, _f1)


class QaVerifier:
    """Verifier: one of the three metrics, of a completion's final answer against the task's answers.

    With ``cover_match`` an answer with more than ``MAX_FURTHER_TOKENS`` tokens beyond those of the reference scores 0:
    a long list of guesses covers the reference without answering the question. With ``cover_match`` and ``f1`` an
    answer that shares with the reference only words of the question, and has others beside them, scores 0: it may be a
    part of the question, or all the names in it.

    Args:
        metric: Name of the metric.
    """

    def __init__(self, metric: QaMetric) -> None:
        self._score: Scorer = {"qa_exact_match": _same, "cover_match": _covers_briefly, "f1": _f1}[metric]

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; a task without a reference answer gives the failure ``"error"``."""
        return [self._verdict(task, text) for task, text in items]

    def close(self) -> None:
        """Do nothing; there is nothing to close."""

    def _verdict(self, task: Task, text: str) -> Verdict:
        if not any(_references(task.answer)):
            return Verdict(0.0, "error")
        asked = _words_of(task.conversation)

        def score(given: AnswerTokens, wanted: AnswerTokens) -> float:
            return self._score(given, wanted) if _adds_something(given, wanted, asked) else 0.0

        return Verdict(_best(final_answer(text), task.answer, score))


def repeats_question(answer: str, question: str) -> bool:
    """Whether a short answer has half of the question in it, or more: at least four words, adjacent and in order."""
    given, asked = answer_tokens(answer), answer_tokens(question)
    needed = max(LEAST_REPEATED, (len(asked) + 1) // 2)
    parts = {asked[start : start + needed] for start in range(len(asked) - needed + 1)}
    return any(given[start : start + needed] in parts for start in range(len(given) - needed + 1))


Scorer = Callable[[AnswerTokens, AnswerTokens], float]
"""(tokens of the prediction, tokens of one answer), both not empty -> score."""


def _references(answers: str | Sequence[str]) -> Iterator[AnswerTokens]:
    return map(answer_tokens, (answers,) if isinstance(answers, str) else answers)


def _best(prediction: str, answers: str | Sequence[str], score: Scorer) -> float:
    given = answer_tokens(prediction)
    return max((score(given, wanted) for wanted in _references(answers) if given and wanted), default=0.0)


@lru_cache(256)
def _words_of(prompt: str) -> frozenset[str]:
    return frozenset(answer_tokens(prompt))


def _adds_something(given: AnswerTokens, wanted: AnswerTokens, asked: frozenset[str]) -> bool:
    """Whether an answer has a word of the reference that the question has not, or consists of the reference's words."""
    words = set(given)
    return words <= set(wanted) or not (words & set(wanted)) <= asked


def _same(given: AnswerTokens, wanted: AnswerTokens) -> float:
    return float(given == wanted)


def _covers(given: AnswerTokens, wanted: AnswerTokens) -> float:
    if wanted in CLOSED:
        return float(given[:1] == wanted and not any((token,) in CLOSED - {wanted} for token in given))
    size = len(wanted)
    return float(any(given[start : start + size] == wanted for start in range(len(given) - size + 1)))


def _covers_briefly(given: AnswerTokens, wanted: AnswerTokens) -> float:
    return _covers(given, wanted) if len(given) <= len(wanted) + MAX_FURTHER_TOKENS else 0.0


def _f1(given: AnswerTokens, wanted: AnswerTokens) -> float:
    if given != wanted and (given in CLOSED or wanted in CLOSED):
        return 0.0
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))
