"""Review of proposals: rule filters first, the RAG check, which costs rollouts, last."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from rekindle.environments.self_play.filters import FilterLimits, rejected
from rekindle.environments.self_play.novelty import Novelty
from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.environments.self_play.rag_check import RagCheck

__all__ = ["Oracle", "Review"]


class Oracle(Protocol):
    """Corpus that knows the answers of a question."""

    def answers(self, question: str) -> Collection[str] | None:
        """All answers; None where they are not known."""
        ...


class Review:
    """Sets the reason of every proposal that is rejected.

    In this order: rule filters -> tags and control strings -> near-duplicates of accepted questions or of earlier ones
    in the same batch -> several answers, where the corpus knows them -> the RAG check. A question whose answer in the
    corpus differs from the seed's is not rejected for that: a real corpus does not know the answers, so finding such
    questions is left to the RAG check.

    Args:
        limits: Limits of the rule filters.
        near_duplicate: Least similarity of a duplicate.
        check: The RAG check.
        is_sanitized: Whether a text contains neither tags nor control strings.
        oracle: Knows the answers of a question; None: they are not known.
    """

    def __init__(
        self,
        *,
        limits: FilterLimits,
        near_duplicate: float,
        check: RagCheck,
        is_sanitized: Callable[[str], bool],
        oracle: Oracle | None = None,
    ) -> None:
        self._limits, self._near_duplicate = limits, near_duplicate
        self.check, self._is_sanitized, self._oracle = check, is_sanitized, oracle
        self._accepted = Novelty(near_duplicate)

    def judge(self, proposals: Sequence[Proposal]) -> None:
        """Set ``reason`` where one applies. Void rollouts are left unchanged; they are never accepted."""
        known = [one for one in proposals if not one.rollout.void]
        here = Novelty(self._near_duplicate)
        for proposal in known:
            proposal.reason = rejected(proposal, self._limits)
            if proposal.reason is None and proposal.question is not None:
                proposal.reason = self._objection(proposal.question, here)
        self.check.judge(known)

    def similarity(self, question: str) -> float:
        """Similarity to the nearest accepted question, in [0, 1]."""
        return self._accepted.similarity(question)

    def remember(self, question: str) -> None:
        """Add an accepted question; similar ones are duplicates from now on."""
        self._accepted.add(question)

    def _objection(self, question: str, here: Novelty) -> Reason | None:
        if not self._is_sanitized(question):
            return Reason.MARKUP
        return self._repeats(question, here) or self._several(question)

    def _repeats(self, question: str, here: Novelty) -> Reason | None:
        if self._accepted.is_duplicate(question) or here.is_duplicate(question):
            return Reason.DUPLICATE
        here.add(question)
        return None

    def _several(self, question: str) -> Reason | None:
        answers = self._oracle.answers(question) if self._oracle is not None else None
        return Reason.AMBIGUOUS if answers is not None and len(answers) > 1 else None
