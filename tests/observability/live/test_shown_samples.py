"""The two samples of a live display: which they are, and that their texts harm nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.observability.live.shown_samples import shown_samples


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
    assert [one.completion for one in shown_samples(lines)] == shown


def test_what_is_right_is_the_tasks_own_threshold():
    partial = line("partial", 0.7, truncated=True)
    (shown,) = shown_samples([partial], success_at=0.5)
    assert (shown.verdict, shown.size) == ("right, reward 0.7", "9 tokens, truncated")
    (shown,) = shown_samples([partial], success_at=0.9)
    assert shown.verdict == "wrong, reward 0.7"
    (shown,) = shown_samples([line("", None)])
    assert (shown.verdict, shown.completion) == ("no verdict", "(nothing)")


def test_a_prompt_shows_its_end_without_control_tokens():
    prompt = "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n"
    assert shown_samples([line(prompt=prompt)])[0].prompt == "system Be brief user What is 17 + 25?"
    shown = shown_samples([line(prompt="x" * 5000 + " What is 17 + 25?")])[0].prompt
    assert shown.startswith("…xxx")
    assert shown.endswith("What is 17 + 25?")
    assert len(shown) < 500


def test_an_answer_is_shown_where_there_is_one():
    assert shown_samples([line()])[0].answer == ""
    assert shown_samples([line(answer="42")])[0].answer == "42"
    assert shown_samples([line(answer=["Paris", "Lutetia"])])[0].answer == "Paris | Lutetia"


@pytest.mark.parametrize("absent", ["reward", "prompt", "completion", "generated_tokens", "role", "split"])
def test_a_line_of_another_version_is_shown_as_far_as_it_goes(absent):
    one = {key: value for key, value in line().items() if key != absent}
    assert len(shown_samples([one])) == 1


def assert_plain(sample):
    for text in (sample.verdict, sample.size, sample.prompt, sample.completion, sample.answer):
        assert not {unicodedata.category(char) for char in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        text.encode()


def test_hostile_text_becomes_one_plain_line():
    (sample,) = shown_samples([line(HOSTILE, prompt=HOSTILE, answer=HOSTILE)])
    assert_plain(sample)
    assert "<script>alert(1)</script>" in sample.completion  # harmless in a terminal; the page escapes it


@given(st.text(), st.text(), st.one_of(st.none(), st.text(), st.lists(st.text())))
def test_any_text_becomes_one_plain_line(prompt, completion, answer):
    (sample,) = shown_samples([line(completion, prompt=prompt, answer=answer)])
    assert_plain(sample)
