"""Exact match."""

import pytest

from rekindle.types import Task
from rekindle.verifiers import exact_match
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.verifier import Verdict


@pytest.mark.parametrize(
    ("prediction", "answers", "score"),
    [
        ("nus", "nus", 1.0),
        (" nus\n", "nus", 1.0),
        ("Nus", "nus", 0.0),
        ("nus.", "nus", 0.0),
        ("n us", "nus", 0.0),
        ("", "nus", 0.0),
        ("cafe\u0301", "caf\u00e9", 1.0),
        ("b", ("a", "b"), 1.0),
        ("c", ["a", "b"], 0.0),
        ("a", (), 0.0),
    ],
)
def test_exact_match(prediction, answers, score):
    assert exact_match(prediction, answers) == score


def test_the_verifier_keeps_order_and_fails_closed_without_a_reference():
    task, none = Task("a", "sun>", "nus"), Task("b", "?", ())
    verifier = ExactMatchVerifier()
    assert verifier.judge([(task, "nus"), (task, "sun"), (none, ""), (task, "<answer>nus</answer>")]) == [
        Verdict(1.0),
        Verdict(0.0),
        Verdict(0.0, "error"),
        Verdict(1.0),
    ]
    verifier.close()
