"""Exact nearest-vector search by inner product, with faiss or, where it is not installed, numpy."""

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rekindle.retrieval.ranking import Ranking
from rekindle.retrieval.retriever import RetrievalError

__all__ = ["FaissVectors", "NumpyVectors", "VectorBackend", "Vectors", "flat_vectors"]

VectorBackend = Literal["faiss", "numpy"]
Array = NDArray[np.floating[Any]]

_BLOCK = 1 << 15  # vectors converted to float32 at a time


class FaissVectors:
    """A faiss index: IndexFlatIP, or any index read from a file. Calls are serialised by a lock."""

    def __init__(self, index: Any) -> None:
        import faiss

        self._index = index
        self._sign = -1.0 if index.metric_type == faiss.METRIC_L2 else 1.0
        self._lock = threading.Lock()

    @classmethod
    def flat(cls, dimension: int) -> "FaissVectors":
        """An empty exact index."""
        import faiss

        return cls(faiss.IndexFlatIP(dimension))

    @classmethod
    def read(cls, path: Path) -> "FaissVectors":
        """Read an index written by ``faiss.write_index``.

        Raises:
            RetrievalError: faiss is not installed or cannot read the file.
        """
        _require_faiss()
        import faiss

        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1]
            raise RetrievalError(
                f"faiss cannot read {path} ({reason}); give a file of faiss.write_index, or vectors as .npy"
            ) from error

    @property
    def dimension(self) -> int:
        """D."""
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors_ND: Array) -> None:
        """Add vectors behind the others."""
        with self._lock:
            for block in _blocks(vectors_ND):
                self._index.add(block)

    def search(self, queries_QD: NDArray[np.float32], limit: int) -> list[Ranking]:
        """For every query up to ``limit`` rows with scores, best first."""
        with self._lock:
            scores_QL, rows_QL = self._index.search(queries_QD, max(1, min(limit, len(self))))
        found = zip(rows_QL.tolist(), (self._sign * scores_QL).tolist(), strict=True)
        return [[hit for hit in zip(rows, scores, strict=True) if hit[0] >= 0] for rows, scores in found]


class NumpyVectors:
    """Vectors in numpy arrays, possibly memory-mapped, searched block by block."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._arrays: tuple[Array, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self._arrays))

    def add(self, vectors_ND: Array) -> None:
        """Add vectors behind the others."""
        self._arrays = (*self._arrays, vectors_ND)

    def search(self, queries_QD: NDArray[np.float32], limit: int) -> list[Ranking]:
        """For every query up to ``limit`` rows with scores, best first."""
        scores_QL = np.empty((len(queries_QD), 0), np.float32)
        rows_QL = np.empty((len(queries_QD), 0), np.int64)
        first = 0
        for block in (block for array in self._arrays for block in _blocks(array)):
            rows_B = np.broadcast_to(np.arange(first, first + len(block)), (len(queries_QD), len(block)))
            scores_QL = np.concatenate([scores_QL, queries_QD @ block.T], axis=1)
            rows_QL = np.concatenate([rows_QL, rows_B], axis=1)
            best = np.argsort(-scores_QL, axis=1, kind="stable")[:, :limit]
            scores_QL = np.take_along_axis(scores_QL, best, axis=1)
            rows_QL = np.take_along_axis(rows_QL, best, axis=1)
            first += len(block)
        found = zip(rows_QL.tolist(), scores_QL.tolist(), strict=True)
        return [list(zip(rows, scores, strict=True)) for rows, scores in found]


Vectors = FaissVectors | NumpyVectors


def flat_vectors(dimension: int, backend: VectorBackend | None) -> Vectors:
    """An empty exact index; default backend: faiss where it is installed, else numpy."""
    if backend == "faiss":
        _require_faiss()
    use_faiss = backend != "numpy" and find_spec("faiss") is not None
    return FaissVectors.flat(dimension) if use_faiss else NumpyVectors(dimension)


def _blocks(vectors_ND: Array) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors_ND), _BLOCK):
        yield np.ascontiguousarray(vectors_ND[start : start + _BLOCK], np.float32)


def _require_faiss() -> None:
    if find_spec("faiss") is None:
        raise RetrievalError('faiss is not installed; run: pip install "rekindle[dense]"')
