"""Proposals: a question written for a seed, the reason of its rejection, and its reward."""

from dataclasses import dataclass
from enum import StrEnum

from rekindle.types import Document, Fate, GroupRequest, Rollout, Task

__all__ = ["Proposal", "Reason"]


class Reason(StrEnum):
    """Reason to reject a question; the first that applies, in this order."""

    NO_QUESTION = "no_question"
    """The proposer ended without a question in its tags."""
    TOO_SHORT = "too_short"
    """Too few characters or words."""
    TOO_LONG = "too_long"
    LEAKS_ANSWER = "leaks_answer"
    """The question contains the answer or one of its aliases."""
    TOO_FEW_SEARCHES = "too_few_searches"
    """Too few searches found something."""
    REPEATED_QUERY = "repeated_query"
    ANSWER_IN_QUERY = "answer_in_query"
    MARKUP = "markup"
    """The question contains tags or control strings, which the solver would take for ours."""
    DUPLICATE = "duplicate"
    """Nearly the same as a question that was accepted before."""
    AMBIGUOUS = "ambiguous"
    """The corpus has more than one answer to it."""
    UNANSWERABLE = "unanswerable"
    """With the documents, the verifier gave another answer."""
    KNOWN = "known"
    """The verifier gave the answer without any document."""
    UNVERIFIED = "unverified"
    """The verification itself failed; the proposal has no reward."""
    UNSOLVED = "unsolved"
    """It passed the check, and no rollout of the solver solved it."""


@dataclass(slots=True)
class Proposal:
    """One rollout of the proposer on its way from a seed to a task.

    Attributes:
        request: The request it belongs to; its row is the seed's.
        seed: The answer to ask for (``answer``, with its aliases) and the corpus to search (``metadata["corpus"]``).
        hops: Wished number of hops.
        rollout: The proposer's conversation; its reward is not set.
        question: Text in the question tags; None: there is none.
        reason: Reason of the rejection; None while there is none.
        reply: The verifier's answer with the documents; None where it was not asked or failed.
        task: The task created from a question that passed the check.
        similarity: Similarity to the nearest question accepted before, in [0, 1]; None where it was not accepted.
        reference_success: Success rate of the start policy on it; None where it was not measured.
        success: Mean reward of the solver on it; None where it was not played.
        reward: Reward of the proposer; None where it is not known.
        fate: Fate of the rollout; None until the step is over.
    """

    request: GroupRequest
    seed: Task
    hops: int
    rollout: Rollout
    question: str | None
    reason: Reason | None = None
    reply: str | None = None
    task: Task | None = None
    similarity: float | None = None
    reference_success: float | None = None
    success: float | None = None
    reward: float | None = None
    fate: Fate | None = None

    @property
    def valid(self) -> bool:
        """Whether the question was accepted, and not found unsolved since then."""
        return self.task is not None and self.reason is None

    @property
    def unknown(self) -> bool:
        """Whether something outside the policy failed, so that the proposal cannot be judged."""
        return self.rollout.void or self.reason is Reason.UNVERIFIED

    @property
    def answers(self) -> tuple[str, ...]:
        """The accepted answers."""
        answer = self.seed.answer
        return (answer,) if isinstance(answer, str) else tuple(answer)

    @property
    def queries(self) -> list[str]:
        """Every query that was answered, in order."""
        return [one.query for one in self.rollout.retrievals]

    @property
    def searches(self) -> int:
        """Number of queries that found a document that is not blank."""
        return sum(any(map(_has_text, one.documents)) for one in self.rollout.retrievals)

    @property
    def documents(self) -> list[Document]:
        """The documents that were found, each once, in the order in which they were first found."""
        found = {one.id: one for retrieval in self.rollout.retrievals for one in retrieval.documents}
        return list(found.values())


def _has_text(document: Document) -> bool:
    return bool(document.title.strip() or document.text.strip())
