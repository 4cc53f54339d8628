"""Opening a local index of a corpus: lexical, dense or hybrid."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from rekindle.caching import cache_directory, writable_cache
from rekindle.retrieval.dense import DenseIndex
from rekindle.retrieval.encoder import Encoder
from rekindle.retrieval.fusion import Fusion
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.retriever import Retriever

__all__ = ["IndexKind", "OpenedIndex", "index_progress", "open_index"]

IndexKind = Literal["lexical", "dense", "hybrid"]
IndexProgress = Callable[[str, float], None]


def index_progress(say: Callable[[str], None], steps: int) -> IndexProgress:
    """Return a progress callback that prints at most ``steps`` lines such as "lexical index: 40 %"."""
    shown: set[tuple[str, int]] = set()

    def progress(what: str, share: float) -> None:
        step = what, int(steps * share)
        if step not in shown:
            shown.add(step)
            say(f"{what} index: {step[1] * 100 // steps} %")

    return progress


class OpenedIndex(NamedTuple):
    """A retriever and its number of documents."""

    retriever: Retriever
    documents: int


def open_index(
    corpus: Path,
    kind: IndexKind = "lexical",
    *,
    directory: Path | None = None,
    encoder: Path | None = None,
    vectors: Path | None = None,
    query_prefix: str | None = None,
    passage_prefix: str | None = None,
    title_weight: float = 2.0,
    on_progress: IndexProgress | None = None,
) -> OpenedIndex:
    """Open the index of a corpus; build it first where there is none.

    Args:
        corpus: JSONL file.
        kind: "lexical" (BM25), "dense" (vectors) or "hybrid" (both, fused by reciprocal ranks).
        directory: Directory of the index; None: in the user's cache, where an outdated index is replaced.
        encoder: Directory of the encoder; required for "dense" and "hybrid".
        vectors: Precomputed passage vectors in corpus order, as ``.npy`` or faiss index; for "dense" and "hybrid".
        query_prefix: The encoder's prefix of queries, e.g. ``"query: "`` for E5; None: as in the encoder's directory.
        passage_prefix: The encoder's prefix of passages.
        title_weight: Weight of a match in the title; for "lexical" and "hybrid".
        on_progress: Called with the index being built ("lexical", "dense") and the share done, in [0, 1].

    Raises:
        RetrievalError: The corpus, the index or the encoder cannot be used.
    """
    if kind == "lexical":
        lexical = _lexical(corpus, directory, title_weight, on_progress)
        return OpenedIndex(lexical, len(lexical))
    assert encoder is not None, "callers ask for it"
    place = directory or _cached(corpus, encoder, *([vectors] if vectors else []))
    dense = DenseIndex.open_or_build(
        corpus,
        place,
        Encoder(encoder, query_prefix=query_prefix, passage_prefix=passage_prefix),
        vectors=vectors,
        rebuild=directory is None,
        on_progress=on_progress and partial(on_progress, "dense"),
    )
    if kind == "dense":
        return OpenedIndex(dense, len(dense))
    return OpenedIndex(Fusion([_lexical(corpus, directory, title_weight, on_progress), dense]), len(dense))


def _lexical(
    corpus: Path, directory: Path | None, title_weight: float, on_progress: IndexProgress | None
) -> LexicalIndex:
    return LexicalIndex.open_or_build(
        corpus,
        directory or _cached(corpus),
        title_weight=title_weight,
        rebuild=directory is None,
        on_progress=on_progress and partial(on_progress, "lexical"),
    )


def _cached(*sources: Path) -> Path:
    """Cache directory for an index built from these paths; one that is still to be built can be written."""
    key = "\n".join(str(source.resolve()) for source in sources)
    name = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=12).hexdigest()
    place = cache_directory("indexes") / name
    return place if place.exists() else writable_cache(place, "the index of a corpus")
