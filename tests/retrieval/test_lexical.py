"""The lexical index, with tantivy and with FTS5: the same behaviour."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from corpus_cases import CITIES, ids, numbered, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.retrieval import ranking
from rekindle.retrieval.analysis import MAX_QUERY_TERMS, prepare
from rekindle.retrieval.lexical import Backend, LexicalIndex
from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import Document

BACKENDS: tuple[Backend, ...] = ("tantivy", "fts5")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def cities(backend):
    index = LexicalIndex.in_memory(CITIES, backend=backend)
    yield index
    index.close()


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.jsonl", CITIES)


# -- what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("paris", ["0", "1"]),  # the title counts more
        ("PARIS!", ["0", "1"]),
        ("rome", ["2", "3"]),
        ("cafe", ["6"]),
        ("naive", ["6"]),
        ("cafe\u0301", ["6"]),
        ("ｒｏｍｅ", ["2", "3"]),  # full-width letters
        ("北京", ["4"]),
        ("北京在哪里", ["4"]),
        ("東京タワー", ["5"]),
        ("国", ["4"]),
        ("首都", ["5", "4"]),
        ("", []),
        (" \n\t", []),
        ("?!", []),
        ("absent", []),
        ("paris:", ["0", "1"]),
    ],
)
def test_words_find_passages(cities, query, expected):
    found = ids(cities.search([query], 5)[0])
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


@pytest.mark.parametrize(
    "query",
    [
        '"rome',
        "title:rome",
        "rome OR",
        "rome AND NOT rome",
        "rome*",
        "(rome",
        "rome^9",
        "rome~2",
        "C++ [rome]",
        "rome\x00",
        "-rome",
        "+rome -rome",
        "{rome TO rome}",
        "rome \\",
        "NEAR(rome)",
        "\ud800 rome",
        "'; DROP -- rome",
    ],
)
def test_no_text_steers_the_query_language(cities, query):
    assert ids(cities.search([query], 2)[0]) == ["2", "3"]


@pytest.fixture(scope="module")
def both():
    return [LexicalIndex.in_memory(CITIES, backend=backend) for backend in BACKENDS]


@given(st.text(st.characters(), max_size=80), st.integers(-1, 9))
@settings(max_examples=100)
def test_no_text_breaks_a_search(both, query, k):
    for index in both:
        hits = index.search([query], k)[0]
        assert len(hits) <= max(k, 0)
        assert len(set(ids(hits))) == len(hits)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


def test_a_megabyte_is_cut(cities):
    first, beyond = " ".join(f"w{number}" for number in range(MAX_QUERY_TERMS)), "paris " * 200_000
    assert cities.search([first + " " + beyond, "x" * 1_000_000], 3) == [[], []]
    assert ids(cities.search(["rome " + first + " " + beyond], 3)[0]) == ["2", "3"]


def test_the_title_weighs_what_it_is_told_to(backend):
    documents = [Document("text", "b", "a a"), Document("title", "a", "b"), Document("none", "c", "c")]
    assert ids(LexicalIndex.in_memory(documents, title_weight=0.01, backend=backend).search(["a"], 3)[0])[0] == "text"
    assert ids(LexicalIndex.in_memory(documents, title_weight=50, backend=backend).search(["a"], 3)[0])[0] == "title"


def test_bm25_by_hand():
    # Two passages of two words (title and text); "a" is in one of them. idf = ln(1 + (2 - 1 + .5) / (1 + .5)) = ln 2.
    # Term frequency 1 at the mean length: 1 * 2.2 / (1 + 1.2) = 1. The title adds title_weight / 4 * ln 2 * 1.
    index = LexicalIndex.in_memory([Document("0", "a", "b"), Document("1", "c", "d")], title_weight=2.0)
    assert index.search(["a"], 1)[0][0].score == pytest.approx(0.693147 * 1.5, rel=1e-5)


def test_ties_are_in_the_order_of_the_corpus_wherever_the_search_ends(backend):
    # Additions are segments of their own, which tantivy may lay out in any order.
    index = LexicalIndex.in_memory([], backend=backend)
    documents = [Document(f"{row}", "same", "shared words here") for row in range(60)]
    for start in range(0, 60, 12):
        index.add(documents[start : start + 12])
    for k in (1, 5, 17, 59, 60, 100):
        assert ids(index.search(["words shared here"], k)[0]) == [str(row) for row in range(min(k, 60))]


def test_scores_that_differ_by_rounding_tie():
    hits = [(9, 2.0), (3, 2.0 - 1e-7), (1, 1.0), (0, 0.5)]
    assert ranking.first_with_ties(lambda limit: hits[:limit], 2) == [(3, 2.0), (9, 2.0)]


def test_batches_are_searched_in_order(cities):
    queries = ["rome", "", "paris", "rome"]
    assert cities.search(queries, 2) == [cities.search([query], 2)[0] for query in queries]
    assert cities.search([], 2) == []


@pytest.mark.parametrize(
    ("text", "prepared"),
    [("plain", "plain"), ("x東京y", "x 東 京 東京 y"), ("京", " 京  "), ("\ud800", "?"), ("ﬁn", "fin")],
)
def test_text_is_prepared(text, prepared):
    assert prepare(text) == prepared


# -- documents and growth ---------------------------------------------------------------------------------------------


def test_documents_are_found_by_id(cities):
    assert len(cities) == len(CITIES)
    assert cities.document("3") == CITIES[3]
    assert "3" in cities
    assert "absent" not in cities
    with pytest.raises(KeyError):
        cities.document("absent")


def test_an_addition_is_found_as_soon_as_it_returns(cities):
    cities.add([Document("7", "Tiber", "A river through Rome.")])
    assert ids(cities.search(["tiber"], 2)[0]) == ["7", "2"]
    assert len(cities) == len(CITIES) + 1
    cities.add([])


def test_an_id_cannot_be_added_twice(cities, backend):
    for batch in ([Document("8", "a", "new"), CITIES[0]], [Document("8", "a", "new")] * 2):
        with pytest.raises(RetrievalError, match=r'there is a document "\d" already; give every document'):
            cities.add(batch)
    assert "8" not in cities
    assert cities.search(["new"], 3) == [[]]
    with pytest.raises(RetrievalError, match="already"):
        LexicalIndex.in_memory([CITIES[0], CITIES[0]], backend=backend)


def test_one_thread_adds_while_others_search(cities):
    done, broken = threading.Event(), []

    def search():
        while not done.is_set():
            known = len(cities)
            hits = cities.search(["shared capital"], 1000)[0]
            if len(set(ids(hits))) != len(hits) or not {"0", "2", "3"} <= set(ids(hits)):
                broken.append((known, ids(hits)))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for first in range(0, 50, 5):
        cities.add(numbered(5, first))
        assert len(cities.search(["shared"], 1000)[0]) == first + 5
    done.set()
    for thread in threads:
        thread.join()
    assert not broken


# -- on disk ----------------------------------------------------------------------------------------------------------


def test_an_index_is_built_once_and_opened_again(tmp_path, corpus, backend):
    shares = []
    built = LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend, on_progress=shares.append)
    expected = built.search(["capital of italy", "北京"], 5)
    built.close()
    built.close()
    before = sorted(path.stat().st_ino for path in (tmp_path / "index" / "lexical").iterdir())
    again = LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend)
    assert again.search(["capital of italy", "北京"], 5) == expected
    assert again.document("3") == CITIES[3]
    assert sorted(path.stat().st_ino for path in (tmp_path / "index" / "lexical").iterdir()) == before
    in_memory = LexicalIndex.in_memory(CITIES, backend=backend)
    assert in_memory.search(["capital of italy", "北京"], 5) == expected


def test_progress_is_told_of_a_long_corpus(tmp_path):
    documents = [Document(str(row), "title", "word " * 2000) for row in range(1200)]
    shares = []
    LexicalIndex.open_or_build(write_corpus(tmp_path / "c", documents), tmp_path, on_progress=shares.append)
    assert len(shares) == 2
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[1] <= 1


def test_additions_are_there_when_it_is_opened_again(tmp_path, corpus, backend):
    index = LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend)
    index.add(numbered(2))
    index.add(numbered(1, first=2))
    with pytest.raises(RetrievalError, match="already"):
        index.add([CITIES[0]])
    index.close()
    # A kill between the documents and the terms leaves documents that nothing finds; the next addition drops them.
    with (tmp_path / "index" / "lexical" / "added.jsonl").open("a") as file:
        file.write('["torn", "Torn", "torn"]\n["half')
    again = LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend)
    assert ids(again.search(["shared"], 9)[0]) == ["n0", "n1", "n2"]
    assert "torn" not in again
    again.add([Document("torn", "Repaired", "repaired")])
    assert ids(again.search(["repaired"], 9)[0]) == ["torn"]
    again.close()
    third = LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend)
    assert third.document("torn").title == "Repaired"
    assert len(third) == len(CITIES) + 4


def test_one_process_adds_at_a_time(tmp_path, corpus, backend):
    first, second = (LexicalIndex.open_or_build(corpus, tmp_path / "i", backend=backend) for _ in range(2))
    first.add(numbered(1))
    with pytest.raises(RetrievalError, match="another process adds to the index"):
        second.add(numbered(1, first=1))
    first.close()
    with pytest.raises(RetrievalError, match=r"has added to the index .* since it was opened; open it again"):
        second.add(numbered(1, first=1))
    assert second.search(["shared", "rome"], 9)[0] == []  # it goes on with what it knows
    assert ids(second.search(["rome"], 9)[0]) == ["2", "3"]
    third = LexicalIndex.open_or_build(corpus, tmp_path / "i", backend=backend)
    third.add(numbered(1, first=1))
    assert ids(third.search(["shared"], 5)[0]) == ["n0", "n1"]


def edit_manifest(directory, **changes):
    path = directory / "lexical" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda at: edit_manifest(at, format=0), "has format 0, and this version of rekindle reads format 1"),
        (lambda at: edit_manifest(at, settings={}), "was built with backend None, and here it is 'tantivy"),
        (lambda at: (at / "lexical" / "index.json").unlink(), "is incomplete or not an index of rekindle"),
        (lambda at: (at / "lexical" / "index.json").write_text("{"), "is incomplete or not an index of rekindle"),
        (lambda at: write_corpus(at.parent / "corpus.jsonl", CITIES[1:]), "was built from another corpus"),
    ],
)
def test_an_index_that_does_not_fit_is_refused_or_rebuilt(tmp_path, corpus, spoil, message):
    directory = tmp_path / "index"
    LexicalIndex.open_or_build(corpus, directory, backend="tantivy").close()
    spoil(directory)
    with pytest.raises(RetrievalError, match=f"{message}.*; delete that directory, and it is built again") as caught:
        LexicalIndex.open_or_build(corpus, directory, backend="tantivy")
    assert "\n" not in str(caught.value)
    index = LexicalIndex.open_or_build(corpus, directory, backend="tantivy", rebuild=True)
    assert ids(index.search(["rome"], 3)[0]) == ["2", "3"]


def test_an_index_of_another_backend_is_refused(tmp_path, corpus):
    LexicalIndex.open_or_build(corpus, tmp_path, backend="fts5").close()
    with pytest.raises(RetrievalError, match=r"was built with backend 'fts5 .*', and here it is 'tantivy .*'"):
        LexicalIndex.open_or_build(corpus, tmp_path, backend="tantivy")


@pytest.mark.parametrize("name", ["offsets.npy", "terms/meta.json", "terms/terms.sqlite"])
def test_a_damaged_index_is_a_sentence(tmp_path, corpus, backend, name):
    LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend).close()
    path = tmp_path / "index" / "lexical" / name
    if not path.exists():
        return
    path.write_bytes(b"x" * 5000)
    with pytest.raises(RetrievalError, match=r"is damaged .*; delete that directory, and it is built again"):
        LexicalIndex.open_or_build(corpus, tmp_path / "index", backend=backend)


def test_a_corpus_that_was_only_copied_still_fits(tmp_path, corpus):
    LexicalIndex.open_or_build(corpus, tmp_path / "index").close()
    os.utime(corpus, (1, 1))
    assert len(LexicalIndex.open_or_build(corpus, tmp_path / "index")) == len(CITIES)


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path, corpus):
    (tmp_path / "file").write_text("")
    with pytest.raises(RetrievalError, match=r"cannot write to .*; choose another directory"):
        LexicalIndex.open_or_build(corpus, tmp_path / "file" / "index")


def test_a_bad_corpus_leaves_no_index(tmp_path, backend):
    path = write_corpus(tmp_path / "c.jsonl", [*CITIES, CITIES[0]])
    for _ in range(2):
        with pytest.raises(RetrievalError, match=r"c\.jsonl:8: the id"):
            LexicalIndex.open_or_build(path, tmp_path / "index", backend=backend)
    assert not (tmp_path / "index" / "lexical").exists()


# -- several processes ------------------------------------------------------------------------------------------------

BUILD = """
import sys
from rekindle.retrieval.lexical import LexicalIndex
def say(share):
    print("share", flush=True)
    if sys.argv[3] == "wait":
        sys.stdin.readline()
index = LexicalIndex.open_or_build(sys.argv[1], sys.argv[2], on_progress=say)
print(*(hit.document.id for hit in index.search(["word1234 title"], 1)[0]), len(index), flush=True)
"""


def start(corpus, directory, mode):
    command = [sys.executable, "-c", BUILD, str(corpus), str(directory), mode]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def long_corpus(tmp_path):
    padding = " padding" * 500
    documents = (Document(str(row), f"Title {row}", f"word{row}{padding}") for row in range(3000))
    return write_corpus(tmp_path / "long.jsonl", documents)


def test_a_build_that_was_killed_leaves_nothing_that_is_opened(tmp_path, long_corpus):
    process = start(long_corpus, tmp_path / "index", "wait")
    assert process.stdout.readline() == "share\n"  # the middle of the corpus
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdin.close()
    assert (tmp_path / "index" / "lexical.building").exists()
    assert not (tmp_path / "index" / "lexical").exists()
    index = LexicalIndex.open_or_build(long_corpus, tmp_path / "index")
    assert ids(index.search(["word1234"], 3)[0]) == ["1234"]
    assert not (tmp_path / "index" / "lexical.building").exists()


@pytest.mark.slow
def test_a_second_process_waits_for_the_build_and_then_reads(tmp_path, long_corpus):
    first = start(long_corpus, tmp_path / "index", "wait")
    assert first.stdout.readline() == "share\n"
    others = [start(long_corpus, tmp_path / "index", "go") for _ in range(2)]
    time.sleep(0.3)
    out, _ = first.communicate("\n" * 9)
    assert out.splitlines()[-1] == "1234 3000"
    for other in others:
        assert other.communicate()[0] == "1234 3000\n"  # no share: it built nothing


def test_without_tantivy_it_is_fts5(tmp_path, corpus):
    program = (
        "import sys, importlib.util as u\n"
        "found = u.find_spec\n"
        "sys.modules['tantivy'] = None\n"
        "import rekindle.retrieval.lexical as lexical\n"
        "lexical.find_spec = lambda name: None if name == 'tantivy' else found(name)\n"
        "index = lexical.LexicalIndex.open_or_build(*sys.argv[1:])\n"
        "print(index.search(['rome'], 1)[0][0].document.id)\n"
        "try:\n    lexical.LexicalIndex.in_memory([], backend='tantivy')\n"
        "except lexical.RetrievalError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(corpus), str(tmp_path / "index")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ('2\nthe backend "tantivy" is not installed; run: pip install "rekindle[search]"\n')
