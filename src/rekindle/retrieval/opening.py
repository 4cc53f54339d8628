"""From a corpus on disk to a retriever in this process, by its kind."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from rekindle.caching import cache_directory
from rekindle.retrieval.dense import DenseIndex
from rekindle.retrieval.encoder import Encoder
from rekindle.retrieval.fusion import Fusion
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.retriever import Retriever

__all__ = ["IndexKind", "OpenedIndex", "open_index", "spoken"]

IndexKind = Literal["lexical", "dense", "hybrid"]
Progress = Callable[[str, float], None]


def spoken(say: Callable[[str], None], steps: int) -> Progress:
    """Progress in words, one of ``steps`` sentences at a time: "lexical index: 40 %"."""
    said: set[tuple[str, int]] = set()

    def progress(what: str, share: float) -> None:
        step = what, int(steps * share)
        if step not in said:
            said.add(step)
            say(f"{what} index: {step[1] * 100 // steps} %")

    return progress


class OpenedIndex(NamedTuple):
    """A retriever, and how many documents it has."""

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
    on_progress: Progress | None = None,
) -> OpenedIndex:
    """Open the index of a corpus, and build it first where there is none.

    Args:
        corpus: JSONL file.
        kind: BM25; vectors; both, fused by reciprocal ranks.
        directory: Of the index; None: in the user's cache, where an index that does not fit any more is replaced.
        encoder: Directory of the encoder; for "dense" and "hybrid" it is needed.
        vectors: Ready ones of the passages in their order, a ``.npy`` file or a faiss index; for "dense" and "hybrid".
        query_prefix: Put before queries by the encoder, e.g. ``"query: "`` for E5; None: what its directory says.
        passage_prefix: The same for passages.
        title_weight: Of a match in the title; for "lexical" and "hybrid".
        on_progress: Called with what is built ("lexical", "dense") and the share of it that is done.

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


def _lexical(corpus: Path, directory: Path | None, title_weight: float, on_progress: Progress | None) -> LexicalIndex:
    return LexicalIndex.open_or_build(
        corpus,
        directory or _cached(corpus),
        title_weight=title_weight,
        rebuild=directory is None,
        on_progress=on_progress and partial(on_progress, "lexical"),
    )


def _cached(*sources: Path) -> Path:
    """The place in the user's cache for what is made of these paths."""
    key = "\n".join(str(source.resolve()) for source in sources)
    name = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=12).hexdigest()
    return cache_directory("indexes") / name
