"""Proposals: what the proposer made of a seed, why it was accepted or not, and its reward."""

from dataclasses import dataclass
from enum import StrEnum

from rekindle.types import Document, Fate, GroupRequest, Rollout, Task

__all__ = ["Proposal", "Reason"]


class Reason(StrEnum):
    """Why a question was rejected; the first that applies, in this order."""

    NO_QUESTION = "no_question"
    """The proposer ended without a question in its tags."""
    TOO_SHORT = "too_short"
    """Too few characters or words."""
    TOO_LONG = "too_long"
    LEAKS_ANSWER = "leaks_answer"
    """The answer, or one of its aliases, stands in the question."""
    TOO_FEW_SEARCHES = "too_few_searches"
    """Too few searches found something."""
    REPEATED_QUERY = "repeated_query"
    ANSWER_IN_QUERY = "answer_in_query"
    MARKUP = "markup"
    """Tags or control strings stand in the question, which the solver would take for ours."""
    DUPLICATE = "duplicate"
    """Nearly the same as a question that was accepted before."""
    AMBIGUOUS = "ambiguous"
    """The corpus has more than one answer to it."""
    UNANSWERABLE = "unanswerable"
    """With its documents in view, the verifier answered something else."""
    KNOWN = "known"
    """The verifier gave the answer without any document."""
    UNVERIFIED = "unverified"
    """The verification itself failed; nothing is known of the question, and the proposer is not to blame."""


@dataclass(slots=True)
class Proposal:
    """One rollout of the proposer on its way from a seed to a task.

    Attributes:
        request: What was asked; its row is the seed's.
        seed: The answer to ask for (``answer``, with its aliases) and where to search (``metadata["corpus"]``).
        hops: Wished number of hops.
        rollout: The proposer's conversation; its reward is known only when the question was played.
        question: What stands in the question tags; None: there is none.
        reason: Why it was rejected; None while nothing speaks against it.
        reply: What the verifier answered with the documents in view; None where it was not asked or failed.
        task: The task created from an accepted question.
        similarity: To the nearest question accepted before, in [0, 1]; None where it was not accepted.
        reference_success: Success rate of the start policy on it; None where it was not tried.
        success: Mean reward of the solver on it; None where it was not played.
        reward: What the proposer earned; None where that is not known.
        fate: What became of the rollout; None until the step is over.
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
        """Whether the question was accepted."""
        return self.task is not None

    @property
    def unknown(self) -> bool:
        """Whether something outside the policy failed, so that nothing is known of the proposal."""
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
        """Queries that found a document with something in it."""
        return sum(any(map(_says_something, one.documents)) for one in self.rollout.retrievals)

    @property
    def documents(self) -> list[Document]:
        """Every document that was found, each once, in the order of its first sight."""
        found = {one.id: one for retrieval in self.rollout.retrievals for one in retrieval.documents}
        return list(found.values())


def _says_something(document: Document) -> bool:
    return bool(document.title.strip() or document.text.strip())
