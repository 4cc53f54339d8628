"""Every reader in the trainer's process takes time linear in the completion.

The texts are of the longest completions. A reader in quadratic time would take minutes for each of them.
"""

import pytest

from fast import sample
from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.judge_prompt import is_presentable, parse_verdict
from rekindle.verifiers.qa import QaVerifier, repeats_question
from rekindle.verifiers.results import compare
from rekindle.verifiers.unicode_forms import normalized

CHARACTERS = 65_536
PIECES = [
    *["=", "1", "1 ", "1,", "1.", "1/", "1+", "1=", "=1", "1 or ", "-", "+", "%", "$", "$1", "\\$", "**1", "*", "_"],
    *["(", "{", "}", "\\", "\\(", "\\[1", "\\boxed", "\\boxed{", "\\boxed{1}", "\\boxed{1} ", "\\text{", "\\frac{"],
    *["####", "answer", "answer is ", "the answer is 1. ", "A) ", ". ", "\n", "1\n", " ", "x=1 or ", "1.1", "a+"],
    *["<answer>", "</answer>", "<answer></answer>", "<think>", "</think>", "<think></think>", "\u0316\u0301", "\u200b"],
]
"""Each was slow in some reader, or is a mark that readers look for."""
REFERENCES = ["42", "B", "x^2+1"]


def hostile(piece):
    return "a" + (piece * CHARACTERS)[:CHARACTERS]


@pytest.mark.parametrize("piece", sample(PIECES, *PIECES[::2]))
def test_mathematics_is_read_in_linear_time(piece):
    text = hostile(piece)
    for reference in REFERENCES:
        compare(final_answer(text), reference, "What is 17 + 25?")


@pytest.mark.parametrize("piece", ["=", "1.", "1,", "-", "a+", "\u0316\u0301", "</answer>", "<think>"])
def test_short_answers_are_read_in_linear_time(piece):
    text, task = hostile(piece), Task("a", "What is it?", ("42", "The answer is 42"))
    for verifier in (ExactMatchVerifier(), QaVerifier("qa_exact_match"), QaVerifier("cover_match"), QaVerifier("f1")):
        assert verifier.judge([(task, text)])[0].score < 0.1
    is_presentable(text)
    parse_verdict(text)
    repeats_question(text, "What is the name of this?")


def test_long_runs_of_marks_are_cut_and_others_stay():
    word = "Vie\u0323\u0302t Nam, e\u0301"
    assert normalized("NFC", word) == "Vi\u1ec7t Nam, \u00e9"
    assert normalized("NFC", "a" + "\u0301" * 29) == "\u00e1" + "\u0301" * 28
    assert normalized("NFC", "a" + "\u0316\u0301" * 30).count("\u034f") == 2
