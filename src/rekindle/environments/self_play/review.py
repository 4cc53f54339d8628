"""The review of proposals: rule filters first, the check that costs something last."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from rekindle.environments.self_play.filters import FilterLimits, rejected
from rekindle.environments.self_play.novelty import Novelty
from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.environments.self_play.rag_check import RagCheck

__all__ = ["Oracle", "Review"]


class Oracle(Protocol):
    """A corpus that can tell the answers of a question by itself."""

    def answers(self, question: str) -> Collection[str] | None:
        """Every answer; None where it cannot tell."""
        ...


class Review:
    """Gives every proposal that must not be played its reason.

    Rule filters -> tags and control strings -> near-duplicates of what was accepted, or stands earlier in the same
    batch -> several answers, where the corpus can tell -> the RAG check. That the corpus's answer is another one than
    the seed's is no reason: a real corpus cannot tell, and the RAG check has to find out.

    Args:
        limits: Of the rule filters.
        near_duplicate: Similarity from which on a question is a duplicate.
        check: The RAG check.
        is_sanitized: Whether a text has neither tags nor control strings in it.
        oracle: Tells the answers of a question; None: nobody can.
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
        """Set ``reason`` where one applies. Void rollouts say nothing and are left alone; they are never accepted."""
        known = [one for one in proposals if not one.rollout.void]
        here = Novelty(self._near_duplicate)
        for proposal in known:
            proposal.reason = rejected(proposal, self._limits)
            if proposal.reason is None and proposal.question is not None:
                proposal.reason = self._objection(proposal.question, here)
        self.check.judge(known)

    def similarity(self, question: str) -> float:
        """To the nearest accepted question, in [0, 1]."""
        return self._accepted.similarity(question)

    def remember(self, question: str) -> None:
        """A question was accepted; what is like it is a duplicate from now on."""
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
