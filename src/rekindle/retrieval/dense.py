"""Dense retrieval: nearest passages by the inner product of embedding vectors."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rekindle.retrieval.additions import Additions
from rekindle.retrieval.corpus import read_corpus
from rekindle.retrieval.directory import IndexDirectory
from rekindle.retrieval.documents import CorpusFile, CorpusPass, Documents
from rekindle.retrieval.encoder import TextEncoder
from rekindle.retrieval.ranking import SPARE, Ranking, first_with_ties
from rekindle.retrieval.retriever import Hit, RetrievalError
from rekindle.retrieval.vectors import FaissVectors, VectorBackend, Vectors, flat_vectors
from rekindle.types import Document

__all__ = ["DenseIndex"]

_VECTORS, _ADDED, _PROGRESS = "vectors.npy", "added.f16", "progress.json"
_CHECKPOINT_EVERY = 512  # passages: half a minute on two cores


class DenseIndex:
    """Exact search by inner product; a :class:`~rekindle.retrieval.retriever.Retriever`.

    Created by :meth:`in_memory` or :meth:`open_or_build`. Any number of threads may search while one adds. Any number
    of processes may open the same directory; one of them may add. Vectors are stored as float16. faiss also holds them
    in memory as float32; numpy memory-maps them.
    """

    def __init__(
        self, documents: Documents, vectors: Vectors, encoder: TextEncoder, additions: Additions | None
    ) -> None:
        self._documents, self._vectors = documents, vectors
        self._encoder, self._additions = encoder, additions
        self._adding = threading.Lock()

    @classmethod
    def in_memory(
        cls, documents: Iterable[Document], encoder: TextEncoder, *, backend: VectorBackend | None = None
    ) -> Self:
        """Encode documents into an index in memory.

        Raises:
            RetrievalError: An id occurs twice.
        """
        index = cls(Documents(None), flat_vectors(encoder.dimension, backend), encoder, None)
        index.add(documents)
        return index

    @classmethod
    def open_or_build(
        cls,
        corpus: Path | str,
        directory: Path | str,
        encoder: TextEncoder,
        *,
        vectors: Path | str | None = None,
        rebuild: bool = False,
        on_progress: Callable[[float], None] | None = None,
        backend: VectorBackend | None = None,
    ) -> Self:
        """Open the index of a corpus in ``directory/dense``; build it first where there is none.

        A killed build is resumed. While another process builds the same index, this one waits for it.

        Args:
            corpus: JSONL file (:mod:`rekindle.retrieval.corpus`). Documents are read from it, so it must stay in place.
            directory: Directory of indexes; created if missing.
            encoder: Encodes the queries, and the passages unless ``vectors`` are given.
            vectors: A ``.npy`` file [N, D] or a file of ``faiss.write_index`` with the passages' vectors in the order
                of the corpus, made with ``encoder``; read in place, not copied.
            rebuild: Replace an index that does not match, including documents added to it; default: refuse it.
            on_progress: Called during a build with the share done, in [0, 1].
            backend: ``faiss`` or ``numpy``; default: faiss where it is installed.

        Raises:
            RetrievalError: The corpus or the vectors cannot be used, or the index belongs to another corpus or encoder.
        """
        corpus, ready = Path(corpus), None if vectors is None else Path(vectors)
        settings = {"encoder": encoder.fingerprint, "vectors": "encoded" if ready is None else _state(ready)}

        def build(unfinished: Path) -> tuple[int, str]:
            return _build(corpus, unfinished, None if ready else encoder, on_progress)

        place = IndexDirectory(Path(directory) / "dense", corpus, settings).find_or_build(
            build, rebuild=rebuild, resume=True
        )
        base = CorpusFile(corpus, place)
        found = _load_vectors(ready or place / _VECTORS, len(base), encoder.dimension, backend)
        additions = Additions(place)
        documents = Documents(base, additions.read())
        found.add(_read_added(place / _ADDED, len(documents) - len(base), encoder.dimension))
        return cls(documents, found, encoder, additions)

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
        """Encode and add documents. Searches that begin later find them, also in processes that open the index later.

        Raises:
            RetrievalError: An id exists already (nothing is added then), or another process adds to the directory.
        """
        with self._adding:
            kept = len(self._documents) - self._documents.of_corpus
            if self._additions is not None:
                self._additions.begin(kept)
            new = self._documents.checked(documents)
            vectors_ND = self._encoder.encode_passages(new).astype(np.float16)
            if self._additions is not None:
                _write_added(self._additions.place / _ADDED, kept, vectors_ND)
                self._additions.write(kept, new)  # last: a document counts as added once it is in this file
            self._documents.extend(new)  # before a search can return their rows
            self._vectors.add(vectors_ND)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :class:`~rekindle.retrieval.retriever.Retriever`; an empty query finds nothing."""
        asked = [query for query in queries if query.strip()]
        k = min(k, len(self._vectors))
        if not asked or k < 1:
            return [[] for _ in queries]
        found = iter(self._search(self._encoder.encode_queries(asked), k))
        return [next(found) if query.strip() else [] for query in queries]

    def _search(self, queries_QD: NDArray[np.float32], k: int) -> list[list[Hit]]:
        first = self._vectors.search(queries_QD, k + SPARE)

        def ranked(at: int) -> Iterator[Hit]:
            def hits_of(limit: int) -> Ranking:
                again = limit > k + SPARE
                return self._vectors.search(queries_QD[at : at + 1], limit)[0] if again else first[at]

            return (Hit(self._documents[row], score) for row, score in first_with_ties(hits_of, k))

        return [list(ranked(at)) for at in range(len(queries_QD))]

    def close(self) -> None:
        """Close the files and release the lock for adding."""
        self._documents.close()
        if self._additions is not None:
            self._additions.close()


def _build(
    corpus: Path, directory: Path, encoder: TextEncoder | None, on_progress: Callable[[float], None] | None
) -> tuple[int, str]:
    passing = CorpusPass(corpus)
    for _ in passing.documents():
        pass
    documents = passing.save(directory)
    if encoder is not None:
        _encode_corpus(corpus, directory, encoder, _Plan(documents, passing.sha256, encoder.fingerprint), on_progress)
    return documents, passing.sha256


class _Plan(NamedTuple):
    """Which corpus and encoder an unfinished array of vectors belongs to."""

    documents: int
    sha256: str
    encoder: str


def _encode_corpus(
    corpus: Path, directory: Path, encoder: TextEncoder, plan: _Plan, on_progress: Callable[[float], None] | None
) -> None:
    """Fill the array of vectors piece by piece, syncing each; continue where an earlier process stopped."""
    done = _encoded_before(directory / _PROGRESS, plan)
    vectors_ND = np.lib.format.open_memmap(
        directory / _VECTORS, "r+" if done else "w+", np.float16, (plan.documents, encoder.dimension)
    )
    _reserve(directory / _VECTORS)
    waiting = islice(read_corpus(corpus), done, None)
    while piece := list(islice(waiting, _CHECKPOINT_EVERY)):
        vectors_ND[done : done + len(piece)] = encoder.encode_passages(piece)
        vectors_ND.flush()
        done += len(piece)
        _write_json(directory / _PROGRESS, {"plan": plan, "encoded": done})
        if on_progress is not None:
            on_progress(done / plan.documents)
    (directory / _PROGRESS).unlink()


def _reserve(path: Path) -> None:
    """Reserve the disk space of a file with gaps: without it, writing to its memory map would end the process.

    Raises:
        OSError: There is not enough space.
    """
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def _encoded_before(path: Path, plan: _Plan) -> int:
    try:
        progress = json.loads(path.read_bytes())
        return int(progress["encoded"]) if progress["plan"] == list(plan) else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _write_json(path: Path, value: object) -> None:
    beside = path.with_suffix(".new")
    with beside.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _load_vectors(path: Path, documents: int, dimension: int, backend: VectorBackend | None) -> Vectors:
    """Vectors from a file, one for every document of the corpus."""
    found: Vectors
    if path.suffix == ".npy":
        found = flat_vectors(dimension, backend)
        array_ND = _load_array(path)
        shape = array_ND.shape
        if shape == (documents, dimension):
            found.add(array_ND)
    else:
        found = FaissVectors.read(path)
        shape = (len(found), found.dimension)
    if shape != (documents, dimension):
        raise RetrievalError(
            f"{path} holds {' x '.join(map(str, shape))} numbers, and {documents} documents with this encoder need "
            f"{documents} x {dimension}; give the vectors that the encoder made of this corpus"
        )
    return found


def _load_array(path: Path) -> NDArray[np.floating[Any]]:
    try:
        array: NDArray[np.floating[Any]] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RetrievalError(f"cannot read vectors from {path} ({error}); give a .npy file of floats") from error
    if not np.issubdtype(array.dtype, np.floating):
        raise RetrievalError(f"{path} holds {array.dtype}; give a .npy file of float16 or float32 vectors")
    return array


def _state(path: Path) -> str:
    """Name, size and modification time of a file of vectors."""
    try:
        found = path.stat()
    except OSError as error:
        raise RetrievalError(f"cannot read vectors from {path} ({error.strerror}); check the path") from error
    return f"{path.name}, {found.st_size} bytes, {found.st_mtime_ns}"


def _write_added(path: Path, kept: int, vectors_ND: NDArray[np.float16]) -> None:
    """Write vectors after the first ``kept``, and sync. Anything after the first ``kept`` is overwritten."""
    with path.open("ab") as file:
        file.truncate(kept * vectors_ND.shape[1] * vectors_ND.itemsize)
        file.write(vectors_ND.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _read_added(path: Path, count: int, dimension: int) -> NDArray[np.float16]:
    if count == 0:
        return np.empty((0, dimension), np.float16)
    return np.fromfile(path, np.float16, count * dimension).reshape(count, dimension)
