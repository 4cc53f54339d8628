"""The RAG check of search self-play (arXiv 2510.18821): a question is valid if its documents answer it.

A verifier model answers the question from the documents that the proposer saw, mixed with documents of other
trajectories, and must give the answer that the question was made for. The check fails closed: a question whose check
fails is rejected as unverified. A second check, which the paper does not have, asks without documents and rejects the
questions that are answered then, because they need no search.
"""

import time
from collections.abc import Mapping, Sequence
from random import Random

from rekindle.environments.search.turn_protocol import ANSWER
from rekindle.environments.self_play.answering import Answerer, Cost, OpenBook
from rekindle.environments.self_play.check_prompt import UNKNOWN
from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.notices import warn
from rekindle.remote import one_line
from rekindle.types import Document, Task, UserError
from rekindle.verifiers.verifier import Verdict, Verifier

__all__ = ["RagCheck"]

COUNTS = ("open_book", "closed_book", "no_reply", "no_verdict")

Trajectory = tuple[int, Sequence[Document]]
"""Id of a proposer's request, and the documents that it found."""
Examined = tuple[str | None, float | None]
"""The reply to a question and its score; None: there is none."""


class RagCheck:
    """Rejects questions that are unanswerable, known without documents, or could not be verified.

    Args:
        answerer: Answers the questions; None: the check is off, and everything passes.
        verifier: Judges the answers; it is not closed here.
        noise: Most other trajectories whose documents are mixed in.
        closed_book: Attempts without documents at a question that passed; 0: none.
        seed: Seed of the choice of documents, their order and the sampling, with the id of the proposal's request.
        success_at: Least score of a right answer.
    """

    def __init__(
        self,
        answerer: Answerer | None,
        verifier: Verifier,
        *,
        noise: int = 4,
        closed_book: int = 1,
        seed: int,
        success_at: float = 1.0,
    ) -> None:
        self._answerer, self._verifier = answerer, verifier
        self._noise, self._attempts = noise, closed_book
        self._seed, self._success_at = seed, success_at
        self._verifying = 0.0
        self._counts = dict.fromkeys(COUNTS, 0)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent answering and judging the answers."""
        return {"generate": self._answerer.seconds if self._answerer else 0.0, "verify": self._verifying}

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of questions asked with and without documents, and of those without a reply or a verdict."""
        return {f"rag_check/{name}": count for name, count in self._counts.items()}

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of the answerer's prompts, and tokens that it sampled."""
        cost = self._answerer.cost if self._answerer else Cost()
        return cost.prompt_tokens, cost.generated_tokens

    def judge(self, proposals: Sequence[Proposal]) -> None:
        """Set ``reason`` and ``reply`` of the proposals that have no reason yet.

        Noise is taken from all ``proposals``, the rejected ones included. Their order does not matter.

        Raises:
            UserError: The answerer or the verifier cannot be used as it is set up.
        """
        open_ones = [one for one in proposals if one.reason is None]
        if self._answerer is None or not open_ones:
            return
        found = _trajectories(proposals)
        books = [self._open_book(one, found) for one in open_ones]
        self._counts["open_book"] += len(books)
        examined = self._examine(self._answerer, open_ones, books)
        for proposal, (reply, score) in zip(open_ones, examined, strict=True):
            proposal.reply, proposal.reason = reply, self._open_reason(score)
        if self._attempts:
            self._judge_closed(self._answerer, [one for one in open_ones if one.reason is None])

    def _judge_closed(self, answerer: Answerer, proposals: Sequence[Proposal]) -> None:
        """Reject questions that are answered without documents in any attempt."""
        asked = [one for one in proposals for _ in range(self._attempts)]
        books = [book for one in proposals for book in self._closed_books(one)]
        self._counts["closed_book"] += len(books)
        scores = [score for _, score in self._examine(answerer, asked, books)]
        for index, proposal in enumerate(proposals):
            proposal.reason = self._closed_reason(scores[index * self._attempts : (index + 1) * self._attempts])

    def _open_reason(self, score: float | None) -> Reason | None:
        if score is None:
            return Reason.UNVERIFIED
        return None if score >= self._success_at else Reason.UNANSWERABLE

    def _closed_reason(self, scores: Sequence[float | None]) -> Reason | None:
        if any(score is not None and score >= self._success_at for score in scores):
            return Reason.KNOWN
        return Reason.UNVERIFIED if None in scores else None

    def _open_book(self, proposal: Proposal, found: Sequence[Trajectory]) -> OpenBook:
        """The proposal's own documents and the noise, shuffled; trajectories of its own request are not noise."""
        rng = self._rng("open", proposal)
        own = {document.id: document for document in proposal.documents}
        others = [documents for request_id, documents in found if request_id != proposal.request.id]
        chosen = rng.sample(others, min(self._noise, len(others)))
        noise = {document.id: document for documents in chosen for document in documents if document.id not in own}
        shown = [*own.values(), *noise.values()]
        rng.shuffle(shown)
        spare = frozenset(index for index, document in enumerate(shown) if document.id in noise)
        return OpenBook(_question(proposal), tuple(shown), spare, rng.getrandbits(63))

    def _closed_books(self, proposal: Proposal) -> list[OpenBook]:
        rng = self._rng("closed", proposal)
        return [OpenBook(_question(proposal), (), frozenset(), rng.getrandbits(63)) for _ in range(self._attempts)]

    def _rng(self, book: str, proposal: Proposal) -> Random:
        return Random(f"{book} book {self._seed} {proposal.request.id}")

    def _examine(
        self, answerer: Answerer, proposals: Sequence[Proposal], books: Sequence[OpenBook]
    ) -> Sequence[Examined]:
        """Reply and score of every question of these proposals; an exception makes all of them None."""
        if not books:
            return []
        try:
            examined = self._examined(answerer, proposals, books)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary: any failure rejects the questions as unverified)
            warn(
                f"the RAG check failed, and its {len(books)} questions are rejected as unverified "
                f"({type(error).__name__}: {one_line(str(error))})",
                stacklevel=3,
            )
            examined = [(None, None)] * len(books)
        self._counts["no_reply"] += sum(reply is None for reply, _ in examined)
        self._counts["no_verdict"] += sum(reply is not None and score is None for reply, score in examined)
        return examined

    def _examined(
        self, answerer: Answerer, proposals: Sequence[Proposal], books: Sequence[OpenBook]
    ) -> Sequence[Examined]:
        replies = answerer.answer(books)
        began = time.perf_counter()
        items = [
            (_task(proposal), f"{ANSWER.open}{reply}{ANSWER.close}")
            for proposal, reply in zip(proposals, replies, strict=True)
            if _answers(reply)
        ]
        verdicts = self._verifier.judge(items) if items else []
        self._verifying += time.perf_counter() - began
        scores = iter([_score(verdict) for _, verdict in zip(items, verdicts, strict=True)])
        # No answer is wrong and is not sent to the verifier.
        return [(reply, next(scores) if _answers(reply) else None if reply is None else 0.0) for reply in replies]


def _answers(reply: str | None) -> bool:
    """Whether a reply is an answer: not empty, and not what the prompt asks for where there is none."""
    return (reply or UNKNOWN).strip(" .").casefold() != UNKNOWN


def _trajectories(proposals: Sequence[Proposal]) -> list[Trajectory]:
    """Trajectories with documents, in an order that does not depend on the order of the proposals."""
    found = [(one.request.id, one.documents) for one in proposals]
    return sorted((one for one in found if one[1]), key=lambda one: (one[0], [document.id for document in one[1]]))


def _question(proposal: Proposal) -> str:
    assert proposal.question is not None, "a proposal without a question has been rejected"
    return proposal.question


def _task(proposal: Proposal) -> Task:
    return Task(f"proposal/{proposal.request.id}", _question(proposal), proposal.answers)


def _score(verdict: Verdict) -> float | None:
    """The score of a verdict, None where there is none; NaN is no score."""
    if verdict.failure is not None or verdict.void or not 0 <= verdict.score <= 1:
        return None
    return verdict.score
