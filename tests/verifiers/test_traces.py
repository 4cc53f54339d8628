"""Recorded answers with a model's verdicts: the counts, and that the page says them."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
import traces  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(data):
    return traces.measure(data)


@pytest.fixture(scope="module")
def rows(data):
    return arms.read_rows(data / traces.TRACES)


def test_the_answer_of_every_transcript_is_the_recorded_one(measured):
    assert measured["extraction"] == {"transcripts": 500, "answer_as_recorded": 500}


@pytest.mark.parametrize(
    ("rule", "both", "only_us", "only_model", "neither"),
    [
        ("SQuAD's exact match", 288, 0, 87, 125),
        ("`qa_exact_match`", 289, 0, 86, 125),
        ("`cover_match`", 320, 4, 55, 121),
        ("`f1` of at least 0.5", 363, 14, 12, 111),
    ],
)
def test_agreement_with_the_model(measured, rule, both, only_us, only_model, neither):
    found = measured["rules"][rule]
    counts = {side: found.get(side, 0) for side in ("both", "only_us", "only_model", "neither")}
    assert counts == {"both": both, "only_us": only_us, "only_model": only_model, "neither": neither}
    for side in ("only_us", "only_model"):
        assert sum(found["classes"][side].values()) == counts[side]
        assert set(found["classes"][side]) <= set(traces.CLASSES)


def test_only_accents_are_between_squad_and_us(rows):
    squad, ours = traces.RULES["SQuAD's exact match"], traces.RULES["`qa_exact_match`"]
    differ = [row for row in rows if squad(row["pred_ans"], row["answer"]) != ours(row["pred_ans"], row["answer"])]
    assert [(row["answer"], row["pred_ans"].strip()) for row in differ] == [("Ariel Ram\u00edrez", "Ariel Ramirez")]


def test_the_bound_of_cover_match_costs_no_recorded_answer(measured):
    assert measured["further_tokens"] == {"0": 289, "1": 23, "2": 8, "3": 2, "4": 1, "6": 1}
    bounded = {size: shares["bounded"] for size, shares in measured["lists"].items()}
    assert bounded["20"] == bounded["100"] == 0
    assert measured["lists"]["100"]["unbounded"] > 0.1


@pytest.mark.parametrize(
    ("given", "wanted", "kind"),
    [
        ("Ramirez", "Ram\u00edrez", "accents"),
        ("Acid house", "acid-house", "spacing"),
        ("Boise, Idaho", "Boise", "longer"),
        ("Daniel Moynihan", "Daniel Patrick Moynihan", "shorter"),
        ("1861-1865", "1861-65", "numbers"),
        ("Greg Hertz", "Gregory J. Hertz", "shared"),
        ("Paris", "London", "unlike"),
    ],
)
def test_the_class_of_a_disagreement(given, wanted, kind):
    assert traces.disagreement(0, given, wanted) == kind
    assert traces.disagreement(min(traces.MISTAKES), given, wanted) == "mistake"


def test_the_results_are_those_of_the_data(measured):
    kept = json.loads(traces.RESULTS.read_text())
    assert kept.pop("made").keys() == {"date", "revision", "machine"}
    assert kept == json.loads(json.dumps(measured)), "run: python benchmarks/traces.py --data DIR --docs"


def test_the_page_says_what_was_measured():
    page = (ROOT / "docs" / traces.PAGE).read_text(encoding="utf-8")
    for name, text in traces.tables(json.loads(traces.RESULTS.read_text())).items():
        assert arms.block(page, name) == text, "run: python benchmarks/traces.py --docs"
