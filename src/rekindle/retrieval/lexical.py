"""Lexical retrieval: BM25 over the titles and texts of passages."""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from rekindle.retrieval.additions import Additions
from rekindle.retrieval.analysis import ANALYZER
from rekindle.retrieval.directory import IndexDirectory
from rekindle.retrieval.documents import CorpusFile, CorpusPass, Documents
from rekindle.retrieval.fts_index import FtsTerms
from rekindle.retrieval.retriever import Hit, RetrievalError
from rekindle.retrieval.tantivy_index import TantivyTerms
from rekindle.types import Document

__all__ = ["Backend", "LexicalIndex"]

Backend = Literal["tantivy", "fts5"]
"""Libraries that can hold the index: tantivy, or the full-text search of SQLite."""
Terms = TantivyTerms | FtsTerms

_TERMS = "terms"


class LexicalIndex:
    """BM25 (k1 = 1.2, b = 0.75) with a title weight; a :class:`~rekindle.retrieval.retriever.Retriever`.

    Created by :meth:`in_memory` or :meth:`open_or_build`. Any number of threads may search while one adds. Any number
    of processes may open the same directory; one of them may add.

    The score of a document is ``BM25(title and text) + title_weight / 4 * BM25(title)`` over the distinct terms of the
    query. FTS5 instead counts an occurrence in the title ``title_weight`` times in the term frequency. Scores with a
    relative difference below 1e-5 count as equal.
    """

    def __init__(self, documents: Documents, terms: Terms, title_weight: float, additions: Additions | None) -> None:
        self._documents, self._terms = documents, terms
        self._title_weight, self._additions = title_weight, additions
        self._adding = threading.Lock()

    @classmethod
    def in_memory(
        cls, documents: Iterable[Document], *, title_weight: float = 2.0, backend: Backend | None = None
    ) -> Self:
        """Index documents in memory, e.g. those of the embedded search world.

        Raises:
            RetrievalError: An id occurs twice.
        """
        held = Documents(None, documents)
        terms = _backend(backend)()
        terms.add((row, held[row]) for row in range(len(held)))
        return cls(held, terms, title_weight, None)

    @classmethod
    def open_or_build(
        cls,
        corpus: Path | str,
        directory: Path | str,
        *,
        title_weight: float = 2.0,
        rebuild: bool = False,
        on_progress: Callable[[float], None] | None = None,
        backend: Backend | None = None,
    ) -> Self:
        """Open the index of a corpus in ``directory/lexical``; build it first where there is none.

        While another process builds the same index, this one waits for it. A killed build starts from the beginning.

        Args:
            corpus: JSONL file (:mod:`rekindle.retrieval.corpus`). Documents are read from it, so it must stay in place.
            directory: Directory of indexes; created if missing.
            title_weight: Weight of a match in the title; may differ each time an index is opened.
            rebuild: Replace an index that does not match, including documents added to it; default: refuse it.
            on_progress: Called during a build with the share done, in [0, 1].
            backend: ``tantivy`` or SQLite's ``fts5``; default: tantivy where it is installed.

        Raises:
            RetrievalError: The corpus cannot be used, or the index belongs to another corpus, version or backend.
        """
        corpus, kind = Path(corpus), _backend(backend)
        settings = {"backend": f"{kind.name} {kind.version()}", "analyzer": ANALYZER}
        place = IndexDirectory(Path(directory) / "lexical", corpus, settings).find_or_build(
            lambda unfinished: _build(corpus, unfinished, kind, on_progress), rebuild=rebuild
        )
        return cls._open(corpus, place, kind, title_weight)

    @classmethod
    def _open(cls, corpus: Path, place: Path, kind: type[Terms], title_weight: float) -> Self:
        base, additions = CorpusFile(corpus, place), Additions(place)
        try:
            terms = kind(place / _TERMS)
        except (OSError, ValueError, sqlite3.Error) as error:
            raise RetrievalError(
                f"the index {place} is damaged ({error}); delete that directory, and it is built again"
            ) from error
        documents = Documents(base, additions.read()[: len(terms) - len(base)])
        return cls(documents, terms, title_weight, additions)

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._documents

    def document(self, document_id: str) -> Document:
        """The document with this id.

        Raises:
            KeyError: There is none.
        """
        return self._documents.of_id(document_id)

    def add(self, documents: Iterable[Document]) -> None:
        """Append documents. Searches that begin later find them, also in processes that open the index later.

        Raises:
            RetrievalError: An id exists already (nothing is added then), or another process adds to the directory.
        """
        with self._adding:
            if self._additions is not None:
                self._additions.begin(len(self._documents), self._terms.stored)
            new, first = self._documents.checked(documents), len(self._documents)
            if self._additions is not None:
                self._additions.write(first - self._documents.of_corpus, new)
            self._documents.extend(new)  # before a search can return their rows
            try:
                self._terms.add(enumerate(new, start=first))
            except BaseException:
                self._documents.shrink(first)
                raise

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :class:`~rekindle.retrieval.retriever.Retriever`; a query without a word or digit finds nothing."""
        return [self._search(query, k) for query in queries]

    def _search(self, query: str, k: int) -> list[Hit]:
        found = self._terms.search(query, k, self._title_weight)
        return [Hit(self._documents[row], score) for row, score in found]

    def close(self) -> None:
        """Close the files and release the lock for adding."""
        self._terms.close()
        self._documents.close()
        if self._additions is not None:
            self._additions.close()


def _backend(wanted: Backend | None) -> type[Terms]:
    installed = find_spec("tantivy") is not None
    if wanted == "tantivy" and not installed:
        raise RetrievalError('the backend "tantivy" is not installed; run: pip install "rekindle[search]"')
    return TantivyTerms if installed and wanted != "fts5" else FtsTerms


def _build(
    corpus: Path, directory: Path, kind: type[Terms], on_progress: Callable[[float], None] | None
) -> tuple[int, str]:
    passing = CorpusPass(corpus, on_progress)
    (directory / _TERMS).mkdir()
    terms = kind(directory / _TERMS)
    terms.add(enumerate(passing.documents()), bulk=True)
    terms.close()
    return passing.save(directory), passing.sha256
