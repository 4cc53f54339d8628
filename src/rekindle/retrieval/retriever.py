"""What a retriever is, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.types import Document, UserError

__all__ = ["Hit", "RetrievalError", "Retriever", "RetrieverDown"]


class RetrievalError(UserError):
    """A corpus, an index or a retriever cannot be used as it is; the message says what, where, and the remedy."""


class RetrieverDown(Exception):  # noqa: N818 (a state of the world, not a mistake of the caller's)
    """A search failed for reasons outside the query (time-outs, refusals, nonsense); another one may succeed."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found, and how well it fits; only scores of one search can be compared."""

    document: Document
    score: float


class Retriever(Protocol):
    """Finds documents for queries. Queries are data: no text can break or steer the search."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Return up to ``k`` hits for every query, best first, without duplicates; ties in the order of the corpus.

        Raises:
            RetrieverDown: It cannot be reached or makes no sense, after its own retries.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections. May be called twice."""
        ...
