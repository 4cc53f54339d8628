"""The two samples of a live display: which they are, and that their texts harm nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.observability.live.shown_samples import cut_in_the_middle, shown_samples


def line(completion="42", reward: float | None = 1.0, **others):
    return {"step": 1, "split": "train", "role": "solver", "reward": reward, "generated_tokens": 9,
            "prompt": "What is 6 * 7?", "completion": completion, **others}  # fmt: skip


RIGHT, WRONG = line("right"), line("wrong", 0.0)
HELD_OUT, PROPOSER = line("held out", split="held_out"), line("proposed", role="proposer")
HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/]\r\n\x9b31m\u202eevil\u2066 \x00\x08 <script>alert(1)</script> \ud800"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], []),
        ([RIGHT], ["right"]),
        ([WRONG, RIGHT, line("second", 1.0)], ["right", "wrong"]),
        ([line("a"), line("b"), line("c")], ["a", "b"]),
        ([line("a", 0.0), line("b", 0.0)], ["a", "b"]),
        ([line("failed", None), WRONG], ["wrong", "failed"]),
        ([HELD_OUT, WRONG], ["wrong"]),
        ([HELD_OUT], ["held out"]),
        ([PROPOSER, RIGHT], ["right"]),
        ([PROPOSER], []),
    ],
)
def test_one_right_and_one_wrong_where_there_are_both(lines, shown):
    assert [one.lines[1][1] for one in shown_samples(lines)] == shown


def test_what_is_right_is_the_tasks_own_threshold():
    partial = line("partial", 0.7, truncated=True)
    (shown,) = shown_samples([partial], success_at=0.5)
    assert shown.is_right
    assert [name for name, _ in shown.lines] == ["right, reward 0.7", "9 tokens, truncated"]
    (shown,) = shown_samples([partial], success_at=0.9)
    assert not shown.is_right
    assert shown.lines[0][0] == "wrong, reward 0.7"
    (shown,) = shown_samples([line("", None)])
    assert (shown.lines[0][0], shown.lines[1][1]) == ("no verdict", "(nothing)")


CHATML = "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n"
HEADERS = "<|start|>user<|end_header_id|>\n\nWhat is 17 + 25?<|eot_id|><|start|>assistant<|end_header_id|>"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (CHATML, "What is 17 + 25?"),
        (HEADERS, "What is 17 + 25?"),
        ("What is 17 + 25?\n", "What is 17 + 25?"),
        ("reg>", "reg>"),
        ("<|im_start|>user\nreg<|im_end|>", "reg"),
        ("<|user|>reg<|end|><|assistant|>", "<|user|>reg<|end|><|assistant|>"),
        ("user and roles", "user and roles"),
        ("", ""),
    ],
)
def test_of_a_prompt_the_last_message_is_shown(prompt, message):
    assert shown_samples([line(prompt=prompt)])[0].lines[0][1] == message


def test_a_long_prompt_is_cut_in_the_middle():
    shown = shown_samples([line(prompt="Solve " + "x" * 5000 + " What is 17 + 25?")])[0].lines[0][1]
    assert shown.startswith("Solve xxx")
    assert shown.endswith("x What is 17 + 25?")
    assert len(shown) <= 400


@pytest.mark.parametrize(
    ("text", "cells", "cut"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "ab…efg"), ("中中中中中", 6, "中…中"), ("abc", 2, "a…c"), ("", 3, "")],
)
def test_a_text_is_cut_to_columns_of_a_terminal(text, cells, cut):
    assert cut_in_the_middle(text, cells) == cut


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({}, []),
        ({"answer": "42"}, [("answer", "42")]),
        ({"answer": ["Paris", "Lutetia"]}, [("answer", "Paris | Lutetia")]),
        ({"rewards": {}, "audits": None, "answer": None}, []),
        ({"rewards": {"format": 1.0, "correct": 0.12345, "style": None}, "audits": {"strict": 0.0}},
         [("rewards", "format 1, correct 0.123, style does not apply"), ("audits", "strict 0")]),
    ],
)  # fmt: skip
def test_the_answer_and_rewards_by_name_are_shown_where_there_are_some(fields, lines):
    assert list(shown_samples([line(**fields)])[0].lines[2:]) == lines


@pytest.mark.parametrize("absent", ["reward", "prompt", "completion", "generated_tokens", "role", "split"])
def test_a_line_of_another_version_is_shown_as_far_as_it_goes(absent):
    one = {key: value for key, value in line().items() if key != absent}
    assert len(shown_samples([one])) == 1


def assert_plain(sample):
    for text in (text for line in sample.lines for text in line):
        assert not {unicodedata.category(char) for char in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        text.encode()


def test_hostile_text_becomes_one_plain_line():
    (sample,) = shown_samples([line(HOSTILE, prompt=HOSTILE, answer=HOSTILE, rewards={HOSTILE: 1.0})])
    assert_plain(sample)
    assert "<script>alert(1)</script>" in sample.lines[1][1]  # harmless in a terminal; the page escapes it


@given(st.text(), st.text(), st.one_of(st.none(), st.text(), st.lists(st.text())))
def test_any_text_becomes_one_plain_line(prompt, completion, answer):
    (sample,) = shown_samples([line(completion, prompt=prompt, answer=answer)])
    assert_plain(sample)
