"""Corpora: every line is a document, or a sentence that says which is not."""

import json

import pytest
from corpus_cases import CITIES, write_corpus
from hypothesis import given
from hypothesis import strategies as st

from rekindle.retrieval.corpus import join_contents, parse_document, read_corpus, split_contents
from rekindle.retrieval.documents import CorpusFile, CorpusPass
from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import Document


@pytest.mark.parametrize(
    ("contents", "title", "text"),
    [
        ('"Paris"\nCapital of France.', "Paris", "Capital of France."),
        ("Paris\nCapital.\nOf France.", "Paris", "Capital.\nOf France."),
        ("Only a text.", "", "Only a text."),
        ('"Only a title"', "Only a title", ""),
        ('"A "quoted" title"\ntext', 'A "quoted" title', "text"),
        ('"\ntext', '"', "text"),
        ('""\ntext', "", "text"),
    ],
)
def test_the_first_line_of_contents_is_the_title(contents, title, text):
    assert split_contents(contents) == (title, text)


@given(st.text().filter(lambda title: "\n" not in title), st.text())
def test_contents_are_split_as_they_were_joined(title, text):
    assert split_contents(join_contents(Document("0", title, text))) == (title, text)


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ({"id": 7, "contents": '"T"\nx'}, Document("7", "T", "x")),
        ({"id": "a", "title": "T", "text": "x", "score": 1}, Document("a", "T", "x")),
        ({"id": "a", "text": "x"}, Document("a", "", "x")),
        ({"id": 0, "contents": "half a pair: \ud800"}, Document("0", "", "half a pair: �")),
    ],
)
def test_a_line_is_a_document(line, document):
    assert parse_document(json.dumps(line).encode(), "c.jsonl:1") == document


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"c\.jsonl:2: not valid JSON \(.*column 2\); every line must be one object"),
        (b"[1]", r"c\.jsonl:2: expected a JSON object, found list; write"),
        (b'{"id": 1}', r'c\.jsonl:2: there is no "contents"; every line must be like'),
        (b'{"contents": "x"}', r'c\.jsonl:2: there is no id; give every document an "id"'),
        (b'{"id": true, "contents": "x"}', r"c\.jsonl:2: the id is True; give"),
        (b'{"id": 1.5, "contents": "x"}', r"c\.jsonl:2: the id is 1\.5; give"),
        (b'{"id": "", "contents": "x"}', r"c\.jsonl:2: the id is ''; give"),
        (b'{"id": 1, "contents": ""}', r"c\.jsonl:2: the document is empty; give it a text"),
        (b'{"id": 1, "contents": "\\"\\"\\n \\n"}', r"c\.jsonl:2: the document is empty"),
        (b'{"id": 1, "contents": ["x"]}', r'c\.jsonl:2: "contents" is list, not a string'),
        (b'{"id": 1, "title": 3, "text": "x"}', r'c\.jsonl:2: "title" is int, not a string'),
        (b'{"id": 1, "contents": "caf\xe9"}', r"c\.jsonl:2: byte 27 is not UTF-8; save the corpus as UTF-8"),
        (b"[" * 100_000, r"c\.jsonl:2: JSON that cannot be read"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"id": 0, "contents": "good"}\n' + line + b"\n")
    with pytest.raises(RetrievalError, match=message) as caught:
        list(read_corpus(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RetrievalError, match=r"there is no corpus .*absent\.jsonl; give the path"):
        list(read_corpus(tmp_path / "absent.jsonl"))


def test_blank_lines_and_a_byte_order_mark_are_skipped(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 0, "contents": "a"}\n\n \n{"id": 1, "contents": "b"}')
    assert [document.id for document in read_corpus(path)] == ["0", "1"]


def test_an_id_that_comes_twice_is_named_with_both_lines(tmp_path):
    path = write_corpus(tmp_path / "c.jsonl", [*CITIES, Document("2", "Again", "x")])
    path.write_text("\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(RetrievalError, match=r'c\.jsonl:9: the id "2" was given to line 4 already'):
        list(CorpusPass(path).documents())


def test_a_corpus_without_documents_is_refused(tmp_path):
    (tmp_path / "c.jsonl").write_text("\n\n")
    with pytest.raises(RetrievalError, match="has no documents"):
        list(CorpusPass(tmp_path / "c.jsonl").documents())


def test_documents_are_read_from_where_they_lie(tmp_path):
    path = write_corpus(tmp_path / "c.jsonl", CITIES)
    passing = CorpusPass(path)
    assert list(passing.documents()) == CITIES
    assert passing.save(tmp_path) == len(CITIES)
    corpus = CorpusFile(path, tmp_path)
    assert [corpus[row] for row in range(len(corpus))] == CITIES
    assert [corpus.row_of(document.id) for document in CITIES] == list(range(len(CITIES)))
    assert corpus.row_of("absent") is None
    path.write_bytes(b"x" * path.stat().st_size)  # in place: not what was indexed any more
    with pytest.raises(RetrievalError, match="was changed while its index was in use"):
        _ = corpus[3]
    corpus.close()
