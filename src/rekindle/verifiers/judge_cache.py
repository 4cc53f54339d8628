"""Cache of a judge's verdicts: in a SQLite file that several processes may share, or in memory."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rekindle.verifiers.judge_prompt import PROMPT_VERSION
from rekindle.verifiers.verifier import VerifierError

__all__ = ["VerdictCache", "verdict_key"]

LOCK_SECONDS = 60.0
"""Longest wait while another process writes."""
MOST_BYTES = 64 * 2**20
"""Most characters of the keys of verdicts in memory; a file is the user's, and grows."""
TABLE = "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, correct INTEGER NOT NULL CHECK (correct IN (0, 1)))"


def verdict_key(model: str, question: str, references: Sequence[str], answer: str) -> str:
    """Cache key: everything that a verdict depends on, including the version of our prompt, as readable JSON."""
    return json.dumps([model, PROMPT_VERSION, question, list(references), answer])


class VerdictCache:
    """Maps ``key -> correct``. The first verdict on a key stays; failures are not stored. Thread-safe.

    Args:
        path: SQLite file, created if missing; None keeps the latest verdicts in memory, with keys of at most
            ``MOST_BYTES`` in all.

    Raises:
        VerifierError: The file cannot be opened or is not a cache; also raised by later calls.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._bytes = 0
        self._lock = threading.Lock()
        with self._explained():
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained():
                self._connection.execute(TABLE)
                self._connection.execute("SELECT key, correct FROM verdicts LIMIT 1").fetchone()
        except VerifierError:
            self.close()
            raise

    def get(self, key: str) -> bool | None:
        """The verdict on a key; None where there is none."""
        with self._explained():
            row = self._connection.execute("SELECT correct FROM verdicts WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0] == 1

    def put(self, key: str, correct: bool) -> None:
        """Store a verdict; it is on disk when this returns."""
        with self._explained():
            self._connection.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", (key, int(correct)))
            self._bytes += len(key)
            if self._path is None and self._bytes > MOST_BYTES:
                self._forget()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._connection.close()

    def _forget(self) -> None:
        """Delete the older half of the verdicts in memory."""
        count = self._connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]
        older = "SELECT rowid FROM verdicts ORDER BY rowid LIMIT ?"
        self._connection.execute(f"DELETE FROM verdicts WHERE rowid IN ({older})", (-(-count // 2),))  # noqa: S608
        self._bytes = self._connection.execute("SELECT total(length(key)) FROM verdicts").fetchone()[0]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Hold the lock, and turn SQLite's errors into ``VerifierError``."""
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise VerifierError(
                f"{self._path or 'the cache in memory'} cannot be used as a cache of verdicts ({error}); "
                "move it away or set judge.cache to another file"
            ) from error
