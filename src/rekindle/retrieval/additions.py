"""The file of documents added to an index directory. It is append-only, and one process at a time writes to it."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from rekindle.locking import lock
from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import Document

__all__ = ["Additions"]

_FILE = "added.jsonl"
_LOCK = "adding.lock"


class Additions:
    """Documents added to the index in ``place``. Reading needs no lock; the first writer holds it until it closes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._lock: IO[bytes] | None = None

    def read(self) -> list[Document]:
        """Return all documents that were written completely. A last line cut off by a kill is left out."""
        path = self.place / _FILE
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        try:
            return [Document(*json.loads(line)) for line in lines]
        except (ValueError, TypeError, RecursionError) as error:
            raise RetrievalError(
                f"{path} is damaged ({error}); delete the directory {self.place}, and the index is built again"
            ) from error

    def begin(self, known: int, count: Callable[[], int] | None = None) -> None:
        """Take the lock for adding, unless this process holds it already.

        Args:
            known: Number of documents this process knows of.
            count: Returns the number of documents in the directory now; default: the length of :meth:`read`.

        Raises:
            RetrievalError: Another process adds or has added, or the directory cannot be written.
        """
        if self._lock is not None:
            return
        file = self._take_lock()
        if (count() if count else len(self.read())) != known:
            file.close()
            raise RetrievalError(
                f"another process has added to the index {self.place} since it was opened; open it again, or give "
                "every run that adds documents an index of its own (retriever.index)"
            )
        self._lock = file

    def _take_lock(self) -> IO[bytes]:
        try:
            file = (self.place / _LOCK).open("ab")
        except OSError as error:
            raise RetrievalError(
                f"cannot add to the index {self.place} ({error.strerror or error}); choose a directory that can be "
                "written (retriever.index)"
            ) from error
        taken = RetrievalError(
            f"another process adds to the index {self.place}; give every run that adds documents an index of its own "
            "(retriever.index)"
        )
        try:
            lock(file, taken)
        except RetrievalError:
            file.close()
            raise
        return file

    def write(self, kept: int, documents: Sequence[Document]) -> None:
        """Write documents after the first ``kept``, and sync. Anything after the first ``kept`` is overwritten."""
        with (self.place / _FILE).open("a+b") as file:
            file.seek(0)
            for _ in range(kept):
                file.readline()
            file.truncate(file.tell())
            lines = (json.dumps([document.id, document.title, document.text]) for document in documents)
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Release the lock, so that another process can add."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
