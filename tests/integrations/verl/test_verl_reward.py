"""The reward function for verl, on rows as verl's own preparation of data sets writes them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from rekindle.integrations.verl.reward import compute_score, verifier_of
from rekindle.types import UserError

pytest.importorskip("math_verify")

GSM8K = {"index": 17, "split": "train", "question": "Each of 3 boxes has 8 pens and 3 more. How many are there?"}
SEARCH = {"index": 3, "split": "train"}


def score(*arguments, **names):
    found = compute_score(*arguments, **names)
    assert found["acc"] == found["score"]
    assert found["unjudged"] == 0
    return found["score"]


@pytest.mark.parametrize(
    ("source", "verifier"),
    [
        ("openai/gsm8k", "math"),
        ("math_dapo", "math"),
        ("math_dapo_reasoning", "math"),
        ("aime_2024", "math"),
        ("HuggingFaceH4/MATH-500", "math"),
        ("DigitalLearningGmbH/MATH-lighteval", "math"),
        ("numina_olympiads", "math"),
        ("nq", "qa_exact_match"),
        ("searchR1_hotpotqa", "qa_exact_match"),
        ("bamboogle", "qa_exact_match"),
    ],
)
def test_the_data_source_decides_on_the_verifier(source, verifier):
    assert verifier_of(source) == verifier


def test_an_unknown_data_source_needs_a_name():
    with pytest.raises(UserError, match=r'"codeforces" is not known; name one: \+reward\.custom_reward_function'):
        compute_score("codeforces", "4", "4", {})
    assert score("codeforces", "4", "4", {}, verifier="exact_match") == 1.0


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("8 + 3 = 11, and 3 x 11 = 33.\n#### 33", 1.0),
        (r"So there are \boxed{33} pens.", 1.0),
        ("There are 34.\n#### 34", 0.0),
        ("#### 3 * 11", 0.0),
        ("", 0.0),
    ],
)
def test_gsm8k(said, right):
    assert score("openai/gsm8k", said, "33", GSM8K) == right


def test_what_was_copied_from_the_prompt_is_no_answer():
    """As chat messages, as text, and as the question that verl's preparation of GSM8K keeps."""
    asked, copied = "Simplify 6/8 and write 3 in the end.", r"\boxed{6/8}"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": asked}]
    parts = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}]
    for told in ({"prompt": messages}, {"prompt": parts}, {"prompt": asked}, {"question": asked}):
        assert score("math_dapo", copied, r"\frac{3}{4}", told) == 0.0
    for without in ({}, None):
        assert score("math_dapo", copied, r"\frac{3}{4}", without) == 1.0


def test_an_answer_inside_an_open_thought_is_none():
    thinks = {"opened_thought": "<think>"}
    assert score("math_dapo", r"\boxed{33}", "33", thinks) == 0.0
    assert score("math_dapo", r"perhaps 34</think>\boxed{33}", "33", thinks) == 1.0


@pytest.mark.parametrize(
    "answers",
    [
        {"target": ["Paris", "City of Light"]},
        {"target": np.array(["Paris", "City of Light"], dtype=object)},
        ["Paris"],
        ("Paris",),
        "Paris",
    ],
)
def test_search_r1_has_a_target_in_each_form_of_a_parquet_file(answers):
    said = "<think>France.</think><search>capital</search> <answer> paris </answer>"
    assert score("nq", said, answers, SEARCH) == 1.0
    assert score("nq", said.replace("paris", "Paris or Rome"), answers, SEARCH) == 0.0


def test_a_number_is_an_answer():
    assert score("openai/gsm8k", "#### 33", 33, GSM8K) == 1.0
    assert score("openai/gsm8k", "#### 33", np.float64(33.0), GSM8K) == 1.0


@pytest.mark.parametrize("missing", [None, "", " ", [], {"target": []}, {"other": "33"}])
def test_a_row_without_an_answer_is_refused(missing):
    with pytest.raises(UserError, match=r'row of "openai/gsm8k" \(extra_info.index 17\) has no reference answer'):
        compute_score("openai/gsm8k", "#### 33", missing, GSM8K)


def test_a_verdict_that_takes_too_long_is_unjudged_and_earns_nothing(monkeypatch):
    from rekindle.integrations.verl import reward
    from rekindle.verifiers.verifier import Verdict

    class Slow:
        def judge(self, items):
            return [Verdict(0.0, "timeout") for _ in items]

    monkeypatch.setattr(reward, "_verifier", lambda name: Slow())
    assert compute_score("math_dapo", "x", "33", {}) == {"score": 0.0, "acc": 0.0, "unjudged": 1.0}


def test_an_option_that_is_misspelt_is_no_silent_one():
    misspelt: Any = {"verifer": "math"}
    with pytest.raises(TypeError, match="verifer"):
        compute_score("math_dapo", "x", "33", {}, **misspelt)


def test_the_threads_of_a_reward_worker_judge_side_by_side():
    """verl calls the function in threads. Symbolic answers go to one worker process, one after the other."""
    said = [rf"\boxed{{{number}+x^2}}" for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda text: score("math_dapo", text, "x^2+5", {}), said)
        assert list(found) == [float(number == 5) for number in range(8)]
