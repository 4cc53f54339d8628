"""What of a completion is judged, by every verifier: the last answer tag, and no thought."""

import pytest
from thoughts import THOUGHTS

from rekindle.config.tables.task import JudgeTable, TaskTable, VerifyTable
from rekindle.types import Task
from rekindle.verifiers.completions import final_answer, opened_thought, without_thoughts
from rekindle.verifiers.rewards import build_verifier
from rekindle.verifiers.verifier import Verdict


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" 42 ", "42"),
        ("thinking <answer> 42 </answer> done", "42"),
        ("<answer>1</answer> no: <answer>2</answer>", "2"),
        ("<answer>1</answer> no: <answer>2", "1"),
        ("<answer>2", "<answer>2"),
        ("2</answer>", "2</answer>"),
        ("<answer></answer>", ""),
    ],
)
def test_the_last_closed_answer_tag_counts(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(("text", "answer"), THOUGHTS)
def test_thoughts_are_left_out(text, answer):
    assert final_answer(text) == answer


def test_text_between_thoughts_stays():
    assert without_thoughts("a<think>b</think>c<think>d</think>e") == "ace"


@pytest.mark.parametrize("verifier", ["exact_match", "math", "qa_exact_match", "cover_match", "f1", "judge"])
def test_no_verifier_judges_a_thought(verifier):
    if verifier == "math":
        pytest.importorskip("math_verify")
    table = TaskTable(source="jsonl", path="x", verifier=verifier)
    made = build_verifier(table, VerifyTable(), JudgeTable(url="http://127.0.0.1:9/v1", model="none"))
    verdicts = made.judge([(Task("a", "?", "42"), text) for text, _ in THOUGHTS])
    made.close()
    assert verdicts == [Verdict(float(answer == "42")) for _, answer in THOUGHTS]


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("assistant<think>", "<think>"),
        ("assistant[THINK]", "[THINK]"),
        ("assistant<seed:think>\n\n", "<seed:think>"),
        ("assistant<think>\n\n</think>\n\n", ""),
        ("Think in <think> tags.\nassistant", ""),
        ("assistant\n", ""),
        ("", ""),
    ],
)
def test_a_thought_that_the_prompt_begins(prompt, mark):
    assert opened_thought(prompt) == mark
    assert final_answer(opened_thought(prompt) + "42") == ("" if mark else "42")
    assert final_answer(opened_thought(prompt) + "41</think>42") == "42"
