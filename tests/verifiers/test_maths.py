"""Mathematical equality on hand-made cases, real solutions and labelled samples of a real model."""

import json
import re

import pytest

from rekindle.types import Task
from rekindle.verifiers import math_equal
from rekindle.verifiers.latex import latex_equal
from rekindle.verifiers.maths import MathVerifier
from rekindle.verifiers.plain_numbers import quick_equal
from rekindle.verifiers.verifier import Verdict

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


@pytest.mark.parametrize(
    ("text", "answer", "equal"),
    [
        (r"\boxed{\frac{1}{2}}", "0.5", True),
        (r"\boxed{0.5}", r"\frac{1}{2}", True),
        (r"The final answer is $2\sqrt{3}$.", r"\sqrt{12}", True),
        (r"\boxed{(1,2)}", "(1, 2)", True),
        (r"\boxed{(2,1)}", "(1, 2)", False),
        (r"\boxed{x=5}", "5", True),
        (r"\boxed{10{,}000}", "10000", True),
        (r"\boxed{0.333}", r"\frac{1}{3}", False),
        (r"\boxed{1} or \boxed{2}", "2", False),
        ("#### 42", "42", True),
        ("I give up.", "42", False),
        (r"\boxed{\frac{1}{2}}", ["3", r"\frac{2}{4}"], True),
    ],
)
def test_math_equal(text, answer, equal):
    assert math_equal(text, answer) is equal


def test_a_hostile_answer_costs_its_own_verdict_only(verifier):
    half = Task("a", "?", r"\frac{1}{2}")
    hostile = Task("b", "?", "3^{9999999999}")
    verdicts = verifier.judge(
        [(half, r"\boxed{0.5}"), (hostile, TOWER), (half, r"\boxed{0.4}"), (Task("c", "?", ()), "1")]
    )
    assert verdicts[0] == Verdict(1.0)
    assert verdicts[1].score == 0.0
    assert verdicts[1].failure in {"timeout", "crash", "error"}  # whichever limit it meets first
    assert verdicts[2:] == [Verdict(0.0), Verdict(0.0, "error")]


def test_an_answer_key_that_cannot_be_parsed_is_an_error(verifier):
    assert verifier.judge([(Task("a", "?", "$$"), r"\boxed{\frac12}")]) == [Verdict(0.0, "error")]


def test_math500_solutions_reach_their_answers(data):
    rows = read(data / "math/math500.jsonl", 60)
    assert all(quick_equal(row["solution"], [row["answer"]]) is not False for row in rows)
    assert all(latex_equal(row["solution"], [row["answer"]]) for row in rows)


def test_labelled_samples_of_a_real_model(data, verifier):
    rows = read(data / "math/qwen_math_samples_50x8.jsonl", 30)
    items = [(Task(str(row["idx"]), row["question"], row["answer"]), text) for row in rows for text in row["code"]]
    labels = [bool(score) for row in rows for score in row["score"]]
    assert [verdict.score == 1.0 for verdict in verifier.judge(items)] == labels
    quick = [quick_equal(text, [str(task.answer)]) for task, text in items]
    assert sum(equal is not None for equal in quick) > len(items) / 2


def test_prose_is_read_as_math_verify_reads_it(data):
    compared = 0
    for row in read(data / "math/gsm8k_test.jsonl", 80):
        solution, _, answer = re.sub("<<.*?>>", "", row["answer"]).rpartition("####")
        for reference in (answer.strip(), answer.strip() + "1"):
            quick = quick_equal(solution, [reference])
            if quick is not None:
                compared += 1
                assert quick == latex_equal(solution, [reference])
    assert compared > 80
