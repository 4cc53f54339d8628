"""Mathematical equality on hand-made cases, real solutions and labelled samples of a real model."""

import json
import re
import sys
from pathlib import Path

import pytest
from maths_pairs import RIGHT, WRONG

from rekindle.types import Task
from rekindle.verifiers import math_equal
from rekindle.verifiers.maths import MathVerifier
from rekindle.verifiers.results import Claim, compare
from rekindle.verifiers.verifier import Verdict
from rekindle.verifiers.workers import WorkerPool

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
import maths_agreement  # noqa: E402

pytest.importorskip("math_verify")

TOWER = r"\boxed{" + "2^{" * 40 + "2" + "}" * 40 + "}"


@pytest.fixture(scope="module")
def verifier():
    verifier = MathVerifier(workers=2, timeout_seconds=4.0)
    yield verifier
    verifier.close()


def read(path, count):
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]


@pytest.fixture(scope="module")
def verdicts(verifier):
    """Verdict by pair of ``maths_pairs``."""
    pairs = [pair for table in (RIGHT, WRONG) for rows in table.values() for pair in rows]
    items = [(Task("a", "".join(rest), reference), said) for said, reference, *rest in pairs]
    return dict(zip(pairs, verifier.judge(items), strict=True))


@pytest.mark.parametrize("subject", RIGHT)
def test_right_answers(verdicts, subject):
    assert {pair: verdicts[pair] for pair in RIGHT[subject]} == dict.fromkeys(RIGHT[subject], Verdict(1.0))


@pytest.mark.parametrize("subject", WRONG)
def test_wrong_answers(verdicts, subject):
    assert {pair: verdicts[pair] for pair in WRONG[subject]} == dict.fromkeys(WRONG[subject], Verdict(0.0))


def test_there_are_enough_pairs(verdicts):
    assert len(verdicts) >= 250


def test_right_answers_are_right_in_a_sentence_and_after_thoughts(verifier):
    rows = [pair for rows in RIGHT.values() for pair in rows]
    pairs = [(said, reference) for said, reference, *prompt in rows if "\\boxed" in said and not prompt]
    texts = [f"<think>It may be \\boxed{{17}}.</think>\nLet me see.\n\n{said}\n\nI hope it helps." for said, _ in pairs]
    items = [(Task("a", "", reference), text) for (_, reference), text in zip(pairs, texts, strict=True)]
    verdicts = verifier.judge(items)
    assert [text for text, verdict in zip(texts, verdicts, strict=True) if verdict != Verdict(1.0)] == []


@pytest.mark.parametrize(
    ("text", "answer", "equal"),
    [
        (r"\boxed{\frac{1}{2}}", ["3", r"\frac{2}{4}"], True),
        (r"\boxed{3}", ["x", "3"], True),
        (r"\boxed{2x}", ["$$", "x+x"], True),
        (r"\boxed{\frac{1}{2}}", [r"\sqrt2", r"\sqrt3"], False),
    ],
)
def test_one_of_several_answers_is_enough(text, answer, equal):
    assert math_equal(text, answer) is equal


def test_numbers_need_no_worker(monkeypatch):
    monkeypatch.setattr(WorkerPool, "judge", lambda self, jobs: [Verdict(0.0, "crash") for _ in jobs])
    assert math_equal(r"\boxed{0.5}", r"\frac{1}{2}")
    assert not math_equal("17 + 25", "42", prompt="What is 17 + 25?")


def test_a_hostile_answer_costs_its_own_verdict_only(verifier):
    half = Task("a", "?", r"\frac{x}{2}")
    hostile = Task("b", "?", "3^{9999999999}")
    verdicts = verifier.judge(
        [(half, r"\boxed{x/2}"), (hostile, TOWER), (half, r"\boxed{x/3}"), (Task("c", "?", ()), "1")]
    )
    assert verdicts[0] == Verdict(1.0)
    assert verdicts[1].score == 0.0
    assert verdicts[1].failure in {"timeout", "crash", "error"}  # whichever limit it meets first
    assert verdicts[2:] == [Verdict(0.0), Verdict(0.0, "error")]


def test_an_answer_key_that_cannot_be_parsed_is_an_error(verifier):
    assert verifier.judge([(Task("a", "?", "$$"), r"\boxed{\frac12}")]) == [Verdict(0.0, "error")]


@pytest.mark.slow
def test_math500_solutions_reach_their_answers(data, verifier):
    rows = read(data / "math/math500.jsonl", 60)
    items = [(Task(row["unique_id"], row["problem"], row["answer"]), row["solution"]) for row in rows]
    assert all(verdict == Verdict(1.0) for verdict in verifier.judge(items))
    assert sum(isinstance(compare(text, str(task.answer), task.prompt), Claim) for task, text in items) < 10


CLOCK_TIME = r"\text{4:30 p.m.}"
"""Reference of a row whose labels are wrong: its samples have the same words."""


@pytest.mark.slow
def test_labelled_samples_of_a_real_model(data, verifier):
    rows = read(data / "math/qwen_math_samples_50x8.jsonl", 50)
    items = [(Task(str(row["idx"]), row["question"], row["answer"]), text) for row in rows for text in row["code"]]
    labels = [bool(score) or row["answer"] == CLOCK_TIME for row in rows for score in row["score"]]
    assert [verdict.score == 1.0 for verdict in verifier.judge(items)] == labels


@pytest.mark.slow
def test_solutions_without_a_mark_end_with_their_result(data):
    rows = read(data / "math/gsm8k_test.jsonl", 200)
    parts = [re.sub("<<.*?>>", "", row["answer"]).rpartition("####") for row in rows]
    right = [compare(text, answer.strip(), row["question"]) for row, (text, _, answer) in zip(rows, parts, strict=True)]
    assert right.count(True) >= 196
    others = zip(rows[1:], parts[1:], parts, strict=False)
    assert sum(compare(text, other[2].strip(), row["question"]) is True for row, (text, *_), other in others) <= 2


@pytest.mark.slow
def test_the_page_says_how_we_agree_with_math_verify():
    page = (ROOT / "docs" / maths_agreement.PAGE).read_text(encoding="utf-8")
    found = json.loads(maths_agreement.RESULTS.read_text())
    assert arms.block(page, maths_agreement.BLOCK) == maths_agreement.table(found)
    assert sum(one.get("only_them", 0) for one in found.values()) <= 5


def test_an_equation_of_an_earlier_turn_is_no_answer(verifier):
    turns = [("user", "Solve x^2 - x = 0 for the smaller x."), ("assistant", "Shall I?"), ("user", "Yes.")]
    messages = tuple({"role": role, "content": content} for role, content in turns)
    task = Task("t", "Yes.", "0", messages=messages)
    assert compare("x^2 - x = 0", "0", task.conversation) is False
    items = [(task, "<answer>x^2 - x = 0</answer>"), (task, "<answer>0</answer>")]
    assert [verdict.score for verdict in verifier.judge(items)] == [0.0, 1.0]
