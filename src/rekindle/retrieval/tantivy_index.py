"""BM25 over title and text with tantivy: the terms of rows, on disk (memory-mapped) or in memory."""

from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.retrieval.analysis import distinct_terms, prepare, prepare_query
from rekindle.retrieval.ranking import first_with_ties
from rekindle.types import Document

if TYPE_CHECKING:
    import tantivy

__all__ = ["TantivyTerms"]

_TOKENIZER = "rekindle"
_LONGEST_TERM = 100  # bytes; longer terms are not words
_HEAP_BYTES = 256_000_000  # writer's memory for a build: a million passages then form one segment
_SMALL_HEAP_BYTES = 15_000_000
_TITLE_SCALE = 0.25  # a title is short: its BM25 is about four times what its words add to the passage's


class TantivyTerms:
    """Inverted index of numbered documents. Several threads may search while one adds.

    Args:
        directory: Existing directory of the index; None keeps it in memory.
    """

    name = "tantivy"

    def __init__(self, directory: Path | None = None) -> None:
        import tantivy

        self._tantivy = tantivy
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(directory) if directory else None)
        self._analyzer = _analyzer()
        self._index.register_tokenizer(_TOKENIZER, self._analyzer)
        self._searcher = self._index.searcher()
        self._writer: tantivy.IndexWriter | None = None

    @staticmethod
    def version() -> str:
        """Version of the library. An index is read only by the version that wrote it."""
        return version("tantivy")

    def __len__(self) -> int:
        return self._searcher.num_docs

    def stored(self) -> int:
        """Number of documents in the index now, including those added by another process."""
        self._index.reload()
        return self._index.searcher().num_docs

    def add(self, rows: Iterable[tuple[int, Document]], *, bulk: bool = False) -> None:
        """Index documents under their row numbers: all of them or, on an error, none.

        Raises:
            OSError: The index cannot be written, as on a full disk.
        """
        if self._writer is None:
            self._writer = self._index.writer(_HEAP_BYTES if bulk else _SMALL_HEAP_BYTES, num_threads=1)
        try:
            self._write(self._writer, rows)
        except BaseException:
            with suppress(ValueError):  # it cannot be written either
                self._writer.rollback()
            raise
        self._index.reload()
        self._searcher = self._index.searcher()

    def _write(self, writer: "tantivy.IndexWriter", rows: Iterable[tuple[int, Document]]) -> None:
        document_of = self._tantivy.Document
        for row, document in rows:
            title = prepare(document.title)
            written = document_of(row=row, title=title, passage=f"{title}\n{prepare(document.text)}")
            try:
                writer.add_document(written)
            except ValueError as error:
                raise OSError(str(error)) from error
        try:
            writer.commit()
        except ValueError as error:
            raise OSError(str(error)) from error

    def search(self, query: str, k: int, title_weight: float) -> list[tuple[int, float]]:
        """Up to ``k`` rows with scores, best first, ties by row."""
        terms = distinct_terms(self._analyzer.analyze(prepare_query(query)))
        searcher = self._searcher
        k = min(k, searcher.num_docs)
        if not terms or k < 1:
            return []
        weighted = self._query(terms, title_weight)
        return first_with_ties(lambda limit: self._hits(searcher, weighted, limit), k)

    def _query(self, terms: list[str], title_weight: float) -> "tantivy.Query":
        query, should = self._tantivy.Query, self._tantivy.Occur.Should
        clauses = []
        for term in terms:
            in_title = query.term_query(self._schema, "title", term, "freq")
            clauses.append((should, query.boost_query(in_title, title_weight * _TITLE_SCALE)))
            clauses.append((should, query.term_query(self._schema, "passage", term, "freq")))
        return query.boolean_query(clauses)

    @staticmethod
    def _hits(searcher: "tantivy.Searcher", query: "tantivy.Query", limit: int) -> list[tuple[int, float]]:
        hits = searcher.search(query, limit, count=False).hits
        rows = searcher.fast_field_values("row", [address for _, address in hits])
        return [(int(row or 0), float(score)) for row, (score, _) in zip(rows, hits, strict=True)]

    def close(self) -> None:
        """Release the writer's lock, after finishing merges that have begun."""
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None


def _schema() -> "tantivy.Schema":
    from tantivy import SchemaBuilder

    builder = SchemaBuilder().add_integer_field("row", fast=True)
    for field in ("title", "passage"):
        builder = builder.add_text_field(field, tokenizer_name=_TOKENIZER, index_option="freq")
    return builder.build()


def _analyzer() -> "tantivy.TextAnalyzer":
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.simple())
    for step in (Filter.remove_long(_LONGEST_TERM), Filter.lowercase(), Filter.ascii_fold()):
        builder = builder.filter(step)
    return builder.build()
