"""Numbered documents: those of a corpus file, read in place, followed by those added later.

Row 0 is the first document of the corpus. Only two small tables of a corpus file are stored: the offset of each
document, and the sorted hashes of the ids. Twenty million passages need 24 bytes each, and the text is not copied.
"""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rekindle.retrieval.corpus import open_corpus, parse_document
from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import Document

__all__ = ["CorpusFile", "CorpusPass", "Documents"]

_OFFSETS, _HASHES, _ROWS = "offsets.npy", "id_hashes.npy", "id_rows.npy"
_REPORT_EVERY = 1 << 22  # bytes


class CorpusPass:
    """One pass over a corpus file. It streams the documents and builds the tables of :class:`CorpusFile`.

    Attributes:
        sha256: Hex digest of the file; available after the pass.
    """

    def __init__(self, path: Path, on_progress: Callable[[float], None] | None = None) -> None:
        self._path, self._on_progress = path, on_progress
        self._offsets = array("Q")
        self._hashes = array("Q")
        self.sha256 = ""

    def documents(self) -> Iterator[Document]:
        """Yield every document in order.

        Raises:
            RetrievalError: A line is not a document, an id occurs twice (with ``file:line``), or there is no document.
        """
        digest = hashlib.sha256()
        at = 0
        with open_corpus(self._path) as lines:
            size = os.fstat(lines.fileno()).st_size
            for number, line in enumerate(lines, start=1):
                digest.update(line)
                if line.strip():
                    document = parse_document(line, f"{self._path}:{number}")
                    self._offsets.append(at)
                    self._hashes.append(_hash(document.id))
                    yield document
                self._report(at, at + len(line), size)
                at += len(line)
        self._offsets.append(at)
        self.sha256 = digest.hexdigest()
        if not self._hashes:
            raise RetrievalError(f"{self._path} has no documents; give a corpus with at least one")
        self._check_ids()

    def _report(self, before: int, after: int, size: int) -> None:
        if self._on_progress is not None and before // _REPORT_EVERY != after // _REPORT_EVERY:
            self._on_progress(after / size)

    def _check_ids(self) -> None:
        """Check that ids are unique: sort the hashes, and compare the ids only where neighbouring hashes are equal."""
        hashes = np.frombuffer(self._hashes, np.uint64)
        order = np.argsort(hashes, kind="stable")
        alike = hashes[order][1:] == hashes[order][:-1]
        for place in np.flatnonzero(alike).tolist():
            self._compare_ids(int(order[place]), int(order[place + 1]))

    def _compare_ids(self, first: int, second: int) -> None:
        offsets = np.frombuffer(self._offsets, np.uint64)
        with open_corpus(self._path) as file:
            one, other = (_read(file.fileno(), offsets, row, str(self._path)) for row in (first, second))
            if one.id == other.id:
                lines = [_line_number(file.fileno(), int(offsets[row])) for row in (first, second)]
                raise RetrievalError(
                    f'{self._path}:{lines[1]}: the id "{other.id}" was given to line {lines[0]} already; give every '
                    "document an id of its own"
                )

    def save(self, directory: Path) -> int:
        """Write the tables after the pass; return the number of documents."""
        hashes = np.frombuffer(self._hashes, np.uint64)
        order = np.argsort(hashes, kind="stable")
        np.save(directory / _OFFSETS, np.frombuffer(self._offsets, np.uint64))
        np.save(directory / _HASHES, hashes[order])
        np.save(directory / _ROWS, order.astype(np.int64))
        return len(hashes)


class CorpusFile:
    """The documents of a corpus file by row and by id, using the tables of a finished :class:`CorpusPass`.

    Raises:
        RetrievalError: The tables are damaged.
    """

    def __init__(self, path: Path, tables: Path) -> None:
        self._file = open_corpus(path)
        self._path = path
        self._offsets, self._hashes, self._rows = (_table(tables / name) for name in (_OFFSETS, _HASHES, _ROWS))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Document:
        return _read(self._file.fileno(), self._offsets, row, str(self._path))

    def row_of(self, document_id: str) -> int | None:
        """The row of an id; None where there is none."""
        wanted = np.uint64(_hash(document_id))
        first, after = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        candidates = (int(row) for row in self._rows[first:after])
        return next((row for row in candidates if self[row].id == document_id), None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Documents:
    """The documents of an index by row and by id. Documents can be appended while other threads read.

    Args:
        corpus: The first rows; None for none.
        added: The rows after it.

    Attributes:
        of_corpus: Number of documents from the corpus.
    """

    def __init__(self, corpus: CorpusFile | None, added: Iterable[Document] = ()) -> None:
        self._corpus = corpus
        self.of_corpus = len(corpus) if corpus else 0
        self._added: list[Document] = []
        self._row_of: dict[str, int] = {}
        self.extend(self.checked(added))

    def __len__(self) -> int:
        return self.of_corpus + len(self._added)

    def __getitem__(self, row: int) -> Document:
        if row < self.of_corpus:
            assert self._corpus is not None
            return self._corpus[row]
        return self._added[row - self.of_corpus]

    def row_of(self, document_id: str) -> int | None:
        """The row of an id; None where there is none."""
        found = self._row_of.get(document_id)
        return self._corpus.row_of(document_id) if found is None and self._corpus else found

    def __contains__(self, document_id: str) -> bool:
        return self.row_of(document_id) is not None

    def of_id(self, document_id: str) -> Document:
        """The document with this id.

        Raises:
            KeyError: There is none.
        """
        row = self.row_of(document_id)
        if row is None:
            raise KeyError(document_id)
        return self[row]

    def checked(self, documents: Iterable[Document]) -> list[Document]:
        """Return the documents after checking that all of them can be added.

        Raises:
            RetrievalError: An id exists already, or occurs twice among them.
        """
        new: dict[str, Document] = {}
        for document in documents:
            if document.id in new or document.id in self:
                raise RetrievalError(
                    f'there is a document "{document.id}" already; give every document that is added an id of its own'
                )
            new[document.id] = document
        return list(new.values())

    def extend(self, documents: Sequence[Document]) -> None:
        """Append documents returned by :meth:`checked`."""
        self._row_of.update((document.id, row) for row, document in enumerate(documents, start=len(self)))
        self._added.extend(documents)

    def shrink(self, length: int) -> None:
        """Remove the added documents after the first ``length``."""
        for document in self._added[length - self.of_corpus :]:
            del self._row_of[document.id]
        del self._added[length - self.of_corpus :]

    def close(self) -> None:
        """Close the file."""
        if self._corpus:
            self._corpus.close()


def _table(path: Path) -> NDArray[Any]:
    try:
        table: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise RetrievalError(
            f"the index {path.parent} is damaged ({path.name}: {error}); delete that directory, and it is built again"
        ) from error
    return table


def _hash(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), "little")


def _read(descriptor: int, offsets: NDArray[Any], row: int, path: str) -> Document:
    begin, end = offsets[row : row + 2].tolist()
    line = os.pread(descriptor, end - begin, begin).partition(b"\n")[0]  # blank lines may follow
    try:
        return parse_document(line, path)
    except RetrievalError as error:
        raise RetrievalError(f"{path} was changed while its index was in use; start again to read it afresh") from (
            error
        )


def _line_number(descriptor: int, offset: int) -> int:
    """Number of the line that begins at ``offset``."""
    number, at = 1, 0
    while at < offset:
        block = os.pread(descriptor, min(1 << 20, offset - at), at)
        number += block.count(b"\n")
        at += len(block)
    return number
