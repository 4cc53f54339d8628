"""Recall over real questions: the mean over questions of the share of gold passages among the first ten."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import retrieval as benchmark


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory):
    return benchmark.measure_recall(data, tmp_path_factory.mktemp("index"), kinds=("lexical", "dense", "fused"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("lexical", 0.72), ("dense", 0.70), ("fused", 0.75)])
def test_gold_passages_are_found(measured, kind, least):
    assert measured[kind]["all"] >= least


def test_the_numbers_of_the_page_are_those_of_the_benchmark():
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks" / "retrieval.json").read_text())
    page = (root / "docs" / "howto" / "retrieval.md").read_text(encoding="utf-8")
    for kind, shares in found["recall_at_10"].items():
        assert f"| {kind} | {shares['chosen_on']:.3f} | {shares['held_out']:.3f} | {shares['all']:.3f} |" in page


def test_recall_by_hand():
    class Fixed:
        def search(self, queries, k):
            from corpus_cases import CITIES

            from rekindle.retrieval.retriever import Hit

            return [[Hit(document, 1.0) for document in CITIES[:k]] for _ in queries]

        def close(self):
            pass

    questions = [{"question": "", "gold": [0, 99]}, {"question": "", "gold": [1]}, {"question": "", "gold": [6]}]
    assert benchmark.recall(Fixed(), questions, 2) == [0.5, 1.0, 0.0]
