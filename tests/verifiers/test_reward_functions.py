"""Reward functions: their signatures, their calls, and what of their results counts."""

import asyncio
import json
import re
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from rekindle.notices import RekindleWarning
from rekindle.types import Task
from rekindle.verifiers import function_calls, functions
from rekindle.verifiers.function_calls import Problem, batches, results
from rekindle.verifiers.function_files import cause_of, load_function
from rekindle.verifiers.functions import LocalFunction, WorkerFunction, check_call
from rekindle.verifiers.signatures import Signature, signature_of
from rekindle.verifiers.verifier import Verdict, VerifierError, Written
from rekindle.verifiers.weighted import WeightedVerifier, function_part, verifier_part

FILE = Path(__file__).parent / "reward_functions.py"
HERE = str(FILE)


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    """No module of another test is there, and none stays."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = ("reward_neighbour", "reward_functions", "own")
    for name in names:
        sys.modules.pop(name, None)
    yield
    for name in names:
        sys.modules.pop(name, None)


def task(number, answer="yes", **metadata):
    return Task(f"t{number}", f"question {number}", answer, metadata)


def rows(*groups):
    """Items and what was written, for groups given as (task, texts)."""
    items = [(one, text) for one, texts in groups for text in texts]
    return items, [Written(text, tuple(text.encode())) for _, text in items]


def local(name):
    return LocalFunction.of_file(f"{HERE}:{name}", "rewards[0].function")


GROUPS = ((task(1, level=2), ["yes", "no"]), (task(2, ("no", "never"), level=3), ["no", "yes", "no"]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("score", [1.0, 0.0, 0.0, 0.0, 0.0]),  # the second task accepts a list, which equals no text
        ("verl", [0.5, 0.0, 0.0, 0.0, 0.0]),
        ("everything", [3.0, 2.0, 2.0, 3.0, 2.0]),
        ("slowly", [0.25] * 5),
        ("each", [1.0, 0.0, 0.0, 0.0, 0.0]),
        ("length", [3.0, 2.0, 2.0, 3.0, 2.0]),
        ("halves", [1.5, 1.0, 1.0, 1.5, 1.0]),
        ("only_even", [1.0, 1.0, None, None, None]),
    ],
)
def test_every_kind_of_function_gives_its_values(name, expected):
    judge = local(name)
    assert judge.outcomes(*rows(*GROUPS)) == expected
    judge.close()
    judge.close()


def test_a_call_has_the_rollouts_of_one_group():
    calls = load_function(f"{HERE}:score").function.__globals__["CALLS"]
    calls.clear()
    local("score").outcomes(*rows(*GROUPS))
    assert calls == [["yes", "no"], ["no", "yes", "no"]]


@pytest.mark.parametrize(
    ("sizes", "least", "expected"),
    [
        ([2, 3], 16, [5]),
        ([8] * 4, 16, [16, 16]),
        ([5] * 5, 16, [20, 5]),
        ([1] * 40, 16, [16, 16, 8]),
        ([100, 1, 20], 16, [100, 21]),
        ([10] * 20, 64, [70, 70, 60]),
        ([], 16, []),
    ],
)
def test_a_batch_has_whole_groups_and_no_more_than_it_needs(sizes, least, expected):
    made = rows(*((task(number), ["yes"] * size) for number, size in enumerate(sizes)))
    for style in ("trl", "verl"):
        found = batches(Signature(style, None, is_async=least == 64), *made)
        assert [batch.rows for batch in found] == expected
        assert sum(len(batch.calls) for batch in found) == (len(sizes) if style == "trl" else sum(sizes))


def test_the_arguments_are_those_of_trl():
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"})
    chat = Task("c", "2+2?", ("4", "four"), {"level": 1, "solution": "it is 4"}, turns)
    (batch,) = batches(Signature("trl", None), *rows((chat, ["4", "5"])))
    assert batch.calls == [
        {
            "prompts": [list(turns)] * 2,
            "completions": [[{"role": "assistant", "content": "4"}], [{"role": "assistant", "content": "5"}]],
            "completion_ids": [[52], [53]],
            "answer": [["4", "four"]] * 2,
            "level": [1, 1],
            "solution": ["it is 4"] * 2,
        }
    ]
    both = rows((task(1, level=2), ["a"]), (task(2, name="x"), ["b"]))
    (batch,) = batches(Signature("trl", ("completions", "level", "name"), is_async=True), *both)
    assert batch.calls == [{"completions": ["a"], "level": [2]}, {"completions": ["b"], "name": ["x"]}]
    (batch,) = batches(Signature("trl", ("completions", "level"), ("level",)), *both)
    assert batch.calls == [{"completions": ["a"], "level": [2]}, {"completions": ["b"], "level": [None]}]


def test_the_arguments_are_those_of_verl():
    one = task(1, data_source="gsm8k", extra_info={"index": 7})
    (batch,) = batches(Signature("verl", None), *rows((one, ["4"])))
    assert batch.calls == [
        {"data_source": "gsm8k", "solution_str": "4", "ground_truth": "yes", "extra_info": {"index": 7}}
    ]
    (batch,) = batches(Signature("verl", ("solution_str", "extra_info")), *rows((task(1, level=3), ["4"])))
    assert batch.calls == [{"solution_str": "4", "extra_info": {"level": 3}}]


# -- what does not become a reward -------------------------------------------------------------------------------------

BAD = [
    ("raise", r"KeyError: 'no such key\\nand more' \(reward_functions.py, line \d+\)"),
    ("exit", r"SystemExit: 3 \(reward_functions.py, line \d+\)"),
    ("word", "it returned 'good' instead of a list of 2 numbers"),
    ("number", "it returned 1.0 instead of a list of 2 numbers"),
    ("none", "it returned None instead of a list of 2 numbers"),
    ("few", "it returned 1 numbers for 2 completions"),
    ("coroutine", "it returned a coroutine; write it as `async def`"),
]
BAD_ROWS = [
    ("nan", "it returned nan, which is not finite"),
    ("inf", "it returned -inf, which is not finite"),
    ("huge", "it returned inf, which is not finite"),
    ("text", "it returned 'good' instead of a number"),
]


@pytest.mark.parametrize(("completion", "text"), BAD)
def test_a_call_that_fails_costs_its_group_and_no_other(completion, text):
    first, second, *others = local("behave").outcomes(*rows((task(1), [completion, "x"]), (task(2), ["y", "z"])))
    assert others == [1.0, 1.0]
    assert first == second
    assert isinstance(first, Problem)
    assert re.fullmatch(text, first.text)


@pytest.mark.parametrize(("completion", "text"), BAD_ROWS)
def test_a_value_that_is_no_number_costs_its_rollout_and_no_other(completion, text):
    found = local("behave").outcomes(*rows((task(1), [completion, "x"])))
    assert found == [Problem("error", text), 1.0]


@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        ("fine", 1.0),
        ("word", Problem("error", "it returned 'right' instead of a number")),
        ("list", Problem("error", "it returned [1.0] instead of a number")),
        ("no score", Problem("error", "it returned a dictionary without \"score\", but {'reward': 1.0}")),
    ],
)
def test_results_of_verls_functions_are_checked(completion, outcome):
    assert local("verdict").outcomes(*rows((task(1), [completion]))) == [outcome]


def test_arrays_and_their_numbers_are_numbers():
    numpy = pytest.importorskip("numpy")
    items = rows((task(1), ["a", "b"]))
    assert LocalFunction(lambda completions: numpy.array([1, 0]), "r").outcomes(*items) == [1.0, 0.0]
    assert LocalFunction(lambda completions: (numpy.float32(0.5), True), "r").outcomes(*items) == [0.5, 1.0]
    assert LocalFunction(lambda solution_str: numpy.float64(2.0), "r").outcomes(*items) == [2.0, 2.0]
    nested = LocalFunction(lambda completions: numpy.ones((2, 1)), "r").outcomes(*items)
    assert nested == [Problem("error", "it returned [1.0] instead of a number")] * 2


def test_an_exception_is_named_with_the_place_in_the_users_code():
    def inner():
        json.loads("{")

    with pytest.raises(json.JSONDecodeError) as caught:
        inner()
    assert re.fullmatch(r"JSONDecodeError: .* \(test_reward_functions.py, line \d+\)", cause_of(caught.value))
    assert cause_of(ValueError()) == "ValueError"


# -- what is no reward function ----------------------------------------------------------------------------------------

NO_SIGNATURE = 'write "def score(completions, **columns)"'


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "is an int and cannot be called"),
        ("score", "is a str and cannot be called"),
        (dict, "is a class; make an instance in the file, e.g. score = dict()"),
        (lambda text: 1.0, f"has the parameters text; {NO_SIGNATURE}"),
        (lambda: 1.0, f"has the parameters of none; {NO_SIGNATURE}"),
        (lambda queries, prompts, labels: 1.0, "has the parameters queries, prompts, labels"),
        (lambda completions, /: 1.0, "has the parameters completions"),
        (lambda *completions: 1.0, "has the parameters completions"),
        (lambda completions, trainer_state: 1.0, "needs trainer_state, which only TRL's trainer has"),
        (lambda solution_str, config: 1.0, "has verl's signature and also needs config"),
        (dict.fromkeys, "has the parameters iterable"),
    ],
)
def test_other_signatures_are_refused(function, message):
    with pytest.raises(VerifierError, match=re.escape(message)):
        signature_of(function)


def test_signatures_are_recognised_by_names():
    def trl(completions, prompts, solution, trainer_state=None, *, level=None, **columns): ...

    def verl(data_source, solution_str, ground_truth, extra_info, **further): ...

    async def waits(completions): ...

    assert signature_of(trl) == Signature("trl", None, ("solution",))
    assert signature_of(lambda completions, level=1, trainer_state=None: 0) == Signature(
        "trl", ("completions", "level")
    )
    assert signature_of(verl) == Signature("verl", None)
    assert signature_of(partial(lambda solution_str, config: 0, config={})) == Signature("verl", ("solution_str",))
    assert signature_of(waits) == Signature("trl", ("completions",), (), is_async=True)
    assert signature_of(partial(waits)).is_async
    assert signature_of(lambda **anything: 0) == Signature("trl", None)
    for one in (Signature("trl", ("completions",), ("level",), is_async=True), Signature("verl", None)):
        assert Signature.from_json(json.loads(json.dumps(one.as_json()))) == one


FILES = [
    ("import nowhere_to_be_found", "own.py cannot be imported: ModuleNotFoundError: No module named"),
    ("x = 1 / 0", r"ZeroDivisionError: division by zero \(own.py, line 1\); fix it"),
    ("import sys\nsys.exit(1)", r"SystemExit: 1 \(own.py, line 2\)"),
    ("def score(completions:\n    return 1", r"SyntaxError: .* \(own.py, line 1\)"),
    ("def scores(completions):\n    return []", r"there is no score in .*own.py; did you mean scores\?"),
    ("", r"there is no score in .*own.py; it has no functions"),
    ("score = 1.0", "score is a float and cannot be called"),
    ("def score(text):\n    return 1.0", "score has the parameters text"),
    ("class score:\n    pass", "score is a class"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_files_that_have_no_reward_function(text, message, tmp_path):
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(VerifierError, match=message):
        load_function(f"{tmp_path}/own.py:score")
    assert "own" not in sys.modules or "cannot be imported" not in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/nowhere/own.py:score", "there is no file /nowhere/own.py; correct the path"),
        ("no_such_package.rewards:score", "no_such_package.rewards cannot be imported: ModuleNotFoundError"),
        ("json:decoder.score", "there is no decoder.score in json"),
    ],
)
def test_places_where_there_is_no_function(spec, message):
    with pytest.raises(VerifierError, match=message):
        load_function(spec)


def test_columns_that_no_row_has_and_unknown_tokens_are_refused():
    signature = signature_of(lambda completions, solution: 0)
    with pytest.raises(
        VerifierError, match=r"r needs the column 'solution', which no row has; the rows have answer, l"
    ):
        check_call(signature, [task(1, level=2)], "r", token_ids=True)
    check_call(signature, [task(1, level=2), task(2, solution="s")], "r", token_ids=True)
    check_call(signature, [], "r", token_ids=True)
    with pytest.raises(VerifierError, match="r needs completion_ids, which are known for single completions alone"):
        check_call(signature_of(lambda completions, completion_ids: 0), [], "r", token_ids=False)
    check_call(signature_of(lambda **anything: 0), [], "r", token_ids=False)


# -- worker processes --------------------------------------------------------------------------------------------------


def worker(name, seconds=30.0):
    return WorkerFunction(f"{HERE}:{name}", "rewards[0].function", workers=2, timeout_seconds=seconds)


def test_a_worker_does_the_same_as_this_process_and_survives_what_functions_do(monkeypatch):
    """One server for all, because its start takes a third of a second."""
    monkeypatch.setattr(function_calls, "LEAST_ROWS", 2)
    judge = worker("behave", 1.0)
    groups = [(task(number), [text, "x"]) for number, text in enumerate(["a", "raise", "hang", "die", "nan", "b"])]
    found = judge.outcomes(*rows(*groups))
    pairs = dict(zip(["a", "raise", "hang", "die", "nan", "b"], zip(found[::2], found[1::2], strict=True), strict=True))
    assert pairs["a"] == pairs["b"] == (1.0, 1.0)
    assert pairs["hang"] == (Problem("timeout", "no result within 1 s"),) * 2
    assert pairs["die"] == (Problem("crash", "its process died"),) * 2
    assert [one.text for one in pairs["raise"]] == [local("behave").outcomes(*rows(groups[1]))[0].text] * 2
    assert pairs["nan"] == (Problem("error", "it returned nan, which is not finite"), 1.0)
    assert judge.outcomes(*rows(groups[0])) == [1.0, 1.0]
    judge.close()


def test_of_asynchronous_calls_only_those_that_hang_fail():
    loaded = load_function(f"{HERE}:each")
    (batch,) = batches(loaded.signature, *rows((task(1), ["yes", "hang", "no"])))
    hung = Problem("timeout", "no result within 0.2 s")
    assert results(loaded.function, loaded.signature, batch, limit=0.2) == [1.0, hung, 0.0]


@pytest.mark.slow
def test_random_numbers_of_a_worker_are_the_same_in_every_run():
    first, second = worker("chance"), worker("chance")
    items = rows((task(1), ["a", "b"]), (task(2), ["c"]))
    values = first.outcomes(*items)
    assert values == first.outcomes(*items) == second.outcomes(*items)
    assert len(set(values)) == 3
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("text", "seconds", "message"),
    [
        ("import os\nos._exit(1)", 60.0, "r: the process that imports it died (it said nothing); fix the file"),
        ("import time\ntime.sleep(60)", 0.2, "r: its import takes longer than 0.2 s; move slow work into the function"),
        (
            "x = 1 / 0",
            60.0,
            "r: own.py cannot be imported: ZeroDivisionError: division by zero (own.py, line 1); fix it",
        ),
    ],
)
def test_imports_that_end_the_process_or_never_end(text, seconds, message, tmp_path, monkeypatch):
    monkeypatch.setattr(functions, "IMPORT_SECONDS", seconds)
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(VerifierError) as caught:
        WorkerFunction(f"{tmp_path}/own.py:score", "r", workers=1, timeout_seconds=0.1)
    assert str(caught.value) == message


# -- several rewards ---------------------------------------------------------------------------------------------------


def weighted(**parts):
    """A verifier of functions, given as (weight, function)."""
    return WeightedVerifier(
        [function_part(name, weight, LocalFunction(one, name)) for name, (weight, one) in parts.items()]
    )


def test_the_score_is_the_weighted_sum_of_the_rewards_that_apply():
    verifier = weighted(
        right=(2.0, lambda completions, answer: [float(a == b) for a, b in zip(completions, answer, strict=True)]),
        short=(0.5, lambda completions: [None if text == "no" else -float(len(text)) for text in completions]),
    )
    yes, no = verifier.judge([(task(1), "yes"), (task(1), "no")])
    assert (yes.score, yes.parts, yes.failure) == (2.0 - 1.5, {"right": 1.0, "short": -3.0}, None)
    assert (no.score, no.parts, no.failure) == (0.0, {"right": 0.0, "short": None}, None)
    assert verifier.judge([]) == []
    assert verifier.trouble == ""
    verifier.close()


def test_a_reward_that_fails_leaves_no_verdict_and_is_named():
    def fails(completions):
        raise ValueError(f"bad {completions[0]}")

    verifier = weighted(fine=(1.0, lambda completions: [1.0] * len(completions)), broken=(1.0, fails))
    with pytest.warns(RekindleWarning) as caught:
        first, second = (verifier.judge([(task(1), text)])[0] for text in "ab")
    assert (first.score, first.failure, first.void) == (0.0, "reward broken: error", True)
    assert first.parts == {"fine": 1.0, "broken": None}
    assert second == first
    (text,) = {str(one.message) for one in caught}
    assert re.fullmatch(r'reward "broken" failed: ValueError: bad a \(test_reward_functions.py, line \d+\)', text)
    assert verifier.trouble == text


def test_where_no_reward_applies_there_is_no_verdict():
    verifier = weighted(nothing=(1.0, lambda completions: [None] * len(completions)))
    with pytest.warns(RekindleWarning, match="no reward applies to task 't1': every function returned None"):
        (verdict,) = verifier.judge([(task(1), "a")])
    assert (verdict.score, verdict.failure, verdict.void) == (0.0, "none", True)
    assert "no reward applies to task 't1'" in verifier.trouble


def test_a_verifier_is_one_of_the_rewards():
    class Checks:
        def judge(self, items):
            return [
                {"down": Verdict(0.0, "judge", void=True), "slow": Verdict(0.0, "timeout")}.get(text, Verdict(1.0))
                for _, text in items
            ]

        def close(self): ...

    ones = LocalFunction(lambda completions: [1.0] * len(completions), "one")
    parts = [verifier_part("math", 3.0, Checks()), function_part("one", 1.0, ones)]
    right, slow, down = WeightedVerifier(parts).judge([(task(1), text) for text in ("right", "slow", "down")])
    assert (right.score, right.failure, right.void) == (4.0, None, False)
    assert (slow.score, slow.failure, slow.void) == (1.0, "timeout", False), "as where it judges alone"
    assert (down.score, down.failure, down.void) == (0.0, "judge", True)


def test_rewards_that_wait_are_asked_at_the_same_time():
    begun = threading.Barrier(2, timeout=10)

    async def meets(completions):
        await asyncio.to_thread(begun.wait)
        return [1.0] * len(completions)

    verifier = weighted(one=(1.0, meets), other=(1.0, meets), plain=(1.0, lambda completions: [1.0]))
    (verdict,) = verifier.judge([(task(1), "a")])
    assert verdict.score == 3.0
    verifier.close()
