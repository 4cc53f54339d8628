"""Reciprocal-rank fusion, by hand and of real indexes."""

from itertools import pairwise

import pytest
from corpus_cases import CITIES, HashingEncoder, ids
from hypothesis import given
from hypothesis import strategies as st

from rekindle.retrieval.dense import DenseIndex
from rekindle.retrieval.fusion import Fusion, reciprocal_ranks
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.retriever import Hit
from rekindle.types import Document


def ranking(text):
    return [Hit(Document(name, "", ""), 9.0 - rank) for rank, name in enumerate(text)]


def test_ranks_by_hand():
    # a: 1/61 + 1/62; b: 1/62 + 1/61; c: 1/63; d: 1/63. Ties: as they first occur.
    fused = reciprocal_ranks([ranking("abc"), ranking("bad")])
    assert ids(fused) == ["a", "b", "c", "d"]
    assert [hit.score for hit in fused] == pytest.approx([1 / 61 + 1 / 62, 1 / 61 + 1 / 62, 1 / 63, 1 / 63])
    # With a constant of 0 the first place outweighs two second ones: c has 1, b has 1/2 + 1/3.
    assert ids(reciprocal_ranks([ranking("abc"), ranking("cxb")], 0.0))[:2] == ["c", "a"]


@given(st.lists(st.permutations("abcdef").map(lambda names: names[:4]), min_size=1, max_size=4))
def test_a_fusion_has_every_document_once_and_falls(rankings):
    fused = reciprocal_ranks([ranking(names) for names in rankings])
    assert sorted(ids(fused)) == sorted(set().union(*rankings))
    assert all(first.score >= second.score for first, second in pairwise(fused))


@given(st.permutations("abcdef"))
def test_one_ranking_stays_as_it_is(names):
    assert ids(reciprocal_ranks([ranking(names)])) == list(names)


def test_indexes_are_fused():
    lexical, dense = LexicalIndex.in_memory(CITIES), DenseIndex.in_memory(CITIES, HashingEncoder())
    fusion = Fusion([lexical, dense])
    queries = ["capital of Italy", "", "Seine"]
    found = fusion.search(queries, 3)
    assert [len(hits) for hits in found] == [3, 0, 3]
    assert ids(found[2])[0] == "1"
    assert fusion.search(queries, 3) == found
    assert fusion.search(queries, 0) == [[], [], []]
    shallow = Fusion([lexical, dense], depth=1).search(["capital of Italy"], 1)[0]
    assert ids(shallow) == ids(lexical.search(["capital of Italy"], 1)[0])
    fusion.close()
    fusion.close()
