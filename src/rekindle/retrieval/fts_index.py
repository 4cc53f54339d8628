"""BM25 over title and text with SQLite's FTS5, for where tantivy is not installed: slower, and just as safe."""

import re
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from rekindle.retrieval.analysis import distinct_terms, prepare, prepare_query
from rekindle.types import Document

__all__ = ["FtsTerms"]

_WORD = re.compile(r"[^\W_]+")
_FILE = "terms.sqlite"


class FtsTerms:
    """The inverted index of numbered documents. Safe to search from several threads while one adds.

    Args:
        directory: Existing directory of the index; None keeps it in memory.
    """

    name = "fts5"

    def __init__(self, directory: Path | None = None) -> None:
        target = str(directory / _FILE) if directory else ":memory:"
        self._lock = threading.Lock()  # one connection, which one thread uses at a time
        self._connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'terms'").fetchone():
            self._connection.execute(
                "CREATE VIRTUAL TABLE terms USING fts5(title, text, content='', "
                "tokenize='unicode61 remove_diacritics 2')"
            )
        self._count = self._counted()

    @staticmethod
    def version() -> str:
        """Of the library: an index is read by the version that wrote it."""
        return sqlite3.sqlite_version

    def __len__(self) -> int:
        return self._count

    def stored(self) -> int:
        """Number of documents that are there now, those included that another process has added since."""
        with self._lock:
            return self._counted()

    def _counted(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM terms_docsize").fetchone()[0])

    def add(self, rows: Iterable[tuple[int, Document]], *, bulk: bool = False) -> None:
        """Index documents under their rows and make them visible; all of them or, on an error, none."""
        with self._lock:
            if bulk:  # a build that dies is thrown away, so that it need not be durable step by step
                self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute("PRAGMA journal_mode = MEMORY")
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                self._connection.executemany(
                    "INSERT INTO terms (rowid, title, text) VALUES (?, ?, ?)",
                    ((row, prepare(document.title), prepare(document.text)) for row, document in rows),
                )
            self._count = self._counted()

    def search(self, query: str, k: int, title_weight: float) -> list[tuple[int, float]]:
        """Up to ``k`` rows with scores, best first, ties by row."""
        terms = distinct_terms(_WORD.findall(prepare_query(query).lower()))
        if not terms or k < 1:
            return []
        with self._lock:
            # Terms are letters and digits in quotes: nothing of FTS5's query language is left in them.
            found = self._connection.execute(
                "SELECT rowid, bm25(terms, ?, 1.0) AS cost FROM terms WHERE terms MATCH ? AND rowid < ? "
                "ORDER BY cost, rowid LIMIT ?",
                (title_weight, " OR ".join(f'"{term}"' for term in terms), self._count, k),
            ).fetchall()
        return [(int(row), -float(cost)) for row, cost in found]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
