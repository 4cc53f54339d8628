"""Reciprocal-rank fusion: one ranking out of several (Cormack, Clarke and Büttcher, SIGIR 2009).

    score(d) = sum over rankings r that hold d of  1 / (60 + rank_r(d))        ranks from 1

Only ranks count, so scores of different kinds need no common scale.
"""

from collections.abc import Sequence

from rekindle.retrieval.retriever import Hit, Retriever
from rekindle.types import Document

__all__ = ["Fusion", "reciprocal_ranks"]


class Fusion:
    """Several retrievers over the same corpus combined into one, e.g. a lexical and a dense index.

    Args:
        retrievers: Closed together with it. On equal scores, the hits of an earlier retriever come first.
        constant: Added to every rank; a larger constant gives the first ranks less weight.
        depth: Fewest hits requested from each retriever. With a larger depth, a document that one retriever ranks low
            can still gain from its rank in another.
    """

    def __init__(self, retrievers: Sequence[Retriever], *, constant: float = 60.0, depth: int = 20) -> None:
        self._retrievers, self._constant, self._depth = tuple(retrievers), constant, depth

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :class:`~rekindle.retrieval.retriever.Retriever`; the scores are sums of reciprocal ranks."""
        if k < 1:
            return [[] for _ in queries]
        found = [retriever.search(queries, max(k, self._depth)) for retriever in self._retrievers]
        return [reciprocal_ranks(rankings, self._constant)[:k] for rankings in zip(*found, strict=True)]

    def close(self) -> None:
        """Close all of them."""
        for retriever in self._retrievers:
            retriever.close()


def reciprocal_ranks(rankings: Sequence[Sequence[Hit]], constant: float = 60.0) -> list[Hit]:
    """Fuse rankings; equal scores keep the order in which documents first occur in the rankings."""
    scores: dict[str, float] = {}
    documents: dict[str, Document] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            document = documents.setdefault(hit.document.id, hit.document)
            scores[document.id] = scores.get(document.id, 0.0) + 1.0 / (constant + rank)
    fused = [Hit(documents[document_id], score) for document_id, score in scores.items()]
    return sorted(fused, key=lambda hit: -hit.score)
