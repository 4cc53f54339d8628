"""From scores to rewards, and from configurations to verifiers."""

import math

import pytest

from rekindle.config.tables.task import TaskTable, VerifyTable
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.maths import MathVerifier
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier
from rekindle.verifiers.rewards import build_verifier, reward
from rekindle.verifiers.verifier import Verdict, checked_verdict


@pytest.mark.parametrize(
    ("score", "binary", "threshold", "expected"),
    [
        (1.0, True, 1.0, 1.0),
        (sum([0.1] * 10), True, 1.0, 1.0),  # 0.9999999999999999
        (0.01, True, 1.0, 0.0),
        (0.29, True, 1.0, 0.0),
        (0.29, True, 0.25, 1.0),
        (0.29, False, 1.0, 0.29),
        (0.999, True, 1.0, 0.0),
    ],
)
def test_partial_credit_is_a_reward_only_when_asked_for(score, binary, threshold, expected):
    assert reward(score, binary, threshold) == expected


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.1, 10**400, "1", None, [1.0]])
def test_an_invalid_score_is_an_error_without_credit(score):
    assert checked_verdict(score) == Verdict(0.0, "error")


@pytest.mark.parametrize("score", [0, 1, True, 0.5])
def test_valid_scores(score):
    assert checked_verdict(score) == Verdict(float(score))


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (TaskTable(), ExactMatchVerifier),
        (TaskTable(source="jsonl", path="x"), ExactMatchVerifier),
        (TaskTable(source="parquet", path="x"), ExactMatchVerifier),
        (TaskTable(source="jsonl", path="x", verifier="math"), MathVerifier),
        (TaskTable(source="gsm8k", path="x"), MathVerifier),
        (TaskTable(source="gsm8k", path="x", verifier="exact_match"), ExactMatchVerifier),
        (TaskTable(source="reasoning_gym", name="gcd"), ReasoningGymVerifier),
    ],
)
def test_the_configuration_chooses_the_verifier(table, kind):
    if kind is MathVerifier:
        pytest.importorskip("math_verify")
    if kind is ReasoningGymVerifier:
        pytest.importorskip("reasoning_gym")
    verifier = build_verifier(table, VerifyTable())
    assert type(verifier) is kind
    verifier.close()
    verifier.close()
