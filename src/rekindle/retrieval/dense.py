"""Dense retrieval: the passages whose vectors are nearest to the query's."""

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

    Made by :meth:`in_memory` or :meth:`open_or_build`. Any number of threads may search while one adds, and any number
    of processes may have the same directory open; one of them may add. Vectors are kept as float16. With faiss they are
    also in memory, as float32; with numpy they are memory-mapped.
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
        """Encode documents and keep them in this process alone.

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
        """Open the index of a corpus that lies in ``directory/dense``, and build it first where there is none.

        A build that was killed goes on where it was. A process that finds another one building waits for it.

        Args:
            corpus: JSONL file (:mod:`rekindle.retrieval.corpus`); documents are read from it, so it has to stay.
            directory: Of indexes; made where it is not there.
            encoder: Of queries, and of the passages unless there are ``vectors``.
            vectors: A ``.npy`` file [N, D] or a file of ``faiss.write_index`` with the passages' vectors in the order
                of the corpus, made with ``encoder``; used where it lies.
            rebuild: Replace an index that does not fit, and what was added to it, instead of refusing it.
            on_progress: Called with the share that is done, between 0 and 1, while it is built.
            backend: ``faiss`` or ``numpy``; by default faiss where it is installed.

        Raises:
            RetrievalError: The corpus or the vectors cannot be used; or the index is of another corpus or encoder.
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
        """The document of an id.

        Raises:
            KeyError: There is none.
        """
        return self._documents.of_id(document_id)

    def add(self, documents: Iterable[Document]) -> None:
        """Encode and add documents; searches that begin after it returns find them, and so does who opens it later.

        Raises:
            RetrievalError: An id is there already (nothing is added then), or another process adds to the directory.
        """
        with self._adding:
            kept = len(self._documents) - self._documents.of_corpus
            if self._additions is not None:
                self._additions.begin(kept)
            new = self._documents.checked(documents)
            vectors_ND = self._encoder.encode_passages(new).astype(np.float16)
            if self._additions is not None:
                _write_added(self._additions.place / _ADDED, kept, vectors_ND)
                self._additions.write(kept, new)  # last: what is in this file is added
            self._documents.extend(new)  # before they can be found
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
        """Let go of files and of the right to add."""
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
    """What an unfinished array of vectors is of."""

    documents: int
    sha256: str
    encoder: str


def _encode_corpus(
    corpus: Path, directory: Path, encoder: TextEncoder, plan: _Plan, on_progress: Callable[[float], None] | None
) -> None:
    """Fill the array of vectors, durably piece by piece, from where an earlier process got to."""
    done = _encoded_before(directory / _PROGRESS, plan)
    vectors_ND = np.lib.format.open_memmap(
        directory / _VECTORS, "r+" if done else "w+", np.float16, (plan.documents, encoder.dimension)
    )
    waiting = islice(read_corpus(corpus), done, None)
    while piece := list(islice(waiting, _CHECKPOINT_EVERY)):
        vectors_ND[done : done + len(piece)] = encoder.encode_passages(piece)
        vectors_ND.flush()
        done += len(piece)
        _write_json(directory / _PROGRESS, {"plan": plan, "encoded": done})
        if on_progress is not None:
            on_progress(done / plan.documents)
    (directory / _PROGRESS).unlink()


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
    """Size and time of a file of vectors."""
    try:
        found = path.stat()
    except OSError as error:
        raise RetrievalError(f"cannot read vectors from {path} ({error.strerror}); check the path") from error
    return f"{path.name}, {found.st_size} bytes, {found.st_mtime_ns}"


def _write_added(path: Path, kept: int, vectors_ND: NDArray[np.float16]) -> None:
    """Put vectors behind the first ``kept``, durably; what a kill left behind those goes."""
    with path.open("ab") as file:
        file.truncate(kept * vectors_ND.shape[1] * vectors_ND.itemsize)
        file.write(vectors_ND.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _read_added(path: Path, count: int, dimension: int) -> NDArray[np.float16]:
    if count == 0:
        return np.empty((0, dimension), np.float16)
    return np.fromfile(path, np.float16, count * dimension).reshape(count, dimension)
