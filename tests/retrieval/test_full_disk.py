"""Indexes that are built on a disk that is, or gets, full."""

import pytest
from corpus_cases import HashingEncoder, numbered, write_corpus

from rekindle.retrieval.dense import DenseIndex
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.retriever import RetrievalError
from small_disk import small_disk

SENTENCE = r"cannot build the index .*({}).*; make room or choose another directory \(retriever\.index\)"


@pytest.mark.parametrize(
    ("backend", "reason"), [("tantivy", "No space left on device"), ("fts5", "disk is full|disk I/O error")]
)
def test_no_half_lexical_index_is_left(tmp_path, backend, reason):
    corpus = write_corpus(tmp_path / "corpus.jsonl", numbered(3000))
    with small_disk(tmp_path / "disk", "128k") as disk:
        with pytest.raises(RetrievalError, match=SENTENCE.format(reason)):
            LexicalIndex.open_or_build(corpus, disk / "index", backend=backend)
        assert [one.name for one in (disk / "index").iterdir()] == ["lexical.lock"]


def test_a_dense_index_without_room_is_refused_before_anything_is_encoded(tmp_path):
    corpus, encoder = write_corpus(tmp_path / "corpus.jsonl", numbered(3000)), HashingEncoder()
    with small_disk(tmp_path / "disk", "256k") as disk:
        with pytest.raises(RetrievalError, match=SENTENCE.format("No space left on device")):
            DenseIndex.open_or_build(corpus, disk / "index", encoder)
        assert encoder.encoded == 0
        assert not (disk / "index" / "dense").exists()
