"""The retriever protocol, its hits and its errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.types import Document, UserError

__all__ = ["Hit", "RetrievalError", "Retriever", "RetrieverDown"]


class RetrievalError(UserError):
    """A corpus, an index or a retriever cannot be used; the message gives the cause, the place and the remedy."""


class RetrieverDown(Exception):  # noqa: N818 (a state of the world, not a mistake of the caller's)
    """A search failed for reasons outside the query (time-out, refusal, malformed answer); a later one may succeed."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A found document and its score. Scores are comparable within one search only."""

    document: Document
    score: float


class Retriever(Protocol):
    """Retriever protocol: documents for queries. Queries are plain data, never query syntax."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Return up to ``k`` hits for every query, best first, without duplicates; ties in corpus order.

        Raises:
            RetrieverDown: It cannot be reached or answers nonsense, after its own retries.
        """
        ...

    def close(self) -> None:
        """Close files and connections. May be called twice."""
        ...
