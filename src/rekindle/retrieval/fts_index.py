"""BM25 over title and text with SQLite's FTS5: the fallback without tantivy, slower and equally safe."""

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
    """Inverted index of numbered documents. Several threads may search while one adds.

    Args:
        directory: Existing directory of the index; None keeps it in memory.
    """

    name = "fts5"

    def __init__(self, directory: Path | None = None) -> None:
        target = str(directory / _FILE) if directory else ":memory:"
        self._lock = threading.Lock()  # guards the one connection
        self._connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'terms'").fetchone():
            self._connection.execute(
                "CREATE VIRTUAL TABLE terms USING fts5(title, text, content='', "
                "tokenize='unicode61 remove_diacritics 2')"
            )
        self._count = self._counted()

    @staticmethod
    def version() -> str:
        """Version of the library. An index is read only by the version that wrote it."""
        return sqlite3.sqlite_version

    def __len__(self) -> int:
        return self._count

    def stored(self) -> int:
        """Number of documents in the index now, including those added by another process."""
        with self._lock:
            return self._counted()

    def _counted(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM terms_docsize").fetchone()[0])

    def add(self, rows: Iterable[tuple[int, Document]], *, bulk: bool = False) -> None:
        """Index documents under their row numbers: all of them or, on an error, none."""
        with self._lock:
            if bulk:  # a killed build is thrown away, so no step needs to be durable
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
            # Terms are letters and digits in quotes, so they contain no FTS5 query syntax.
            found = self._connection.execute(
                "SELECT rowid, bm25(terms, ?, 1.0) AS cost FROM terms WHERE terms MATCH ? AND rowid < ? "
                "ORDER BY cost, rowid LIMIT ?",
                (title_weight, " OR ".join(f'"{term}"' for term in terms), self._count, k),
            ).fetchall()
        return [(int(row), -float(cost)) for row, cost in found]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
