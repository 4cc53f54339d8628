"""Tables, letter by letter."""

import json

import pytest

from rekindle import Task
from rekindle.evaluation.question_sets import QuestionSet
from rekindle.evaluation.records import Answer, Record
from rekindle.evaluation.set_pass import Results
from rekindle.evaluation.tables import json_table, markdown_table, text_table

SETTINGS = {"model": "9f", "top_p": 0.95, "min_p": 0.0, "max_new_tokens": 24, "temperature": 1.0, "seed": 0}


def record(*rewards, truncated=False, failure=None):
    return Record(tuple(Answer(reward, 2, 1, 10, truncated, failure) for reward in rewards), False)


def results(*sets):
    named = [
        QuestionSet(
            name,
            tuple(
                Task(f"{name}{row}", "?", "a", {"level": level} if level else {}) for row, level in enumerate(levels)
            ),
        )
        for name, levels, _ in sets
    ]
    records = [one for _, _, given in sets for one in given]
    texts = [("x", "y") if one.answers else () for one in records]
    return Results(SETTINGS, tuple(named), tuple(records), tuple(texts), 2, 1.0)


TWO = results(
    ("nq", [None, None], [record(1.0, 1.0), record(0.0, 1.0, truncated=True)]),
    ("mu|sique", ["2hop", "3hop", "2hop"], [record(0.0, 0.0, failure="timeout"), record(1.0, 0.0), Record((), True)]),
)
ONE = results(("held-out", [None], [record(1.0, 0.0)]))


TEXT = """\
set                questions        pass@1        pass@2     runs  turns  searches  tokens  truncated  void  failures
nq                         2  75.0 +- 25.0  100.0 +- 0.0  +- 25.0    2.0       1.0    10.0       50.0     0         0
mu|sique                   3  16.7 +- 16.7  33.3 +- 33.3  +- 16.7    2.0       1.0    10.0        0.0     1         2
mu|sique: 2hop             2    0.0 +- 0.0    0.0 +- 0.0   +- 0.0    2.0       1.0    10.0        0.0     1         2
mu|sique: 3hop             1     50.0 +- -    100.0 +- -  +- 50.0    2.0       1.0    10.0        0.0     0         0
average over sets          5  45.8 +- 15.0  66.7 +- 16.7   +- 4.2    2.0       1.0    10.0       25.0     1         2
all questions              5  40.0 +- 18.7  60.0 +- 24.5   +- 0.0    2.0       1.0    10.0       25.0     1         2
"""


def test_text():
    assert text_table(TWO, (1, 2)) == TEXT
    assert text_table(ONE, (1,)).splitlines()[1:] == [
        "held-out          1  50.0 +- -  +- 50.0    2.0       1.0    10.0        0.0     0         0"
    ]


def test_markdown():
    assert markdown_table(TWO, (1,)) == (
        "2 rollouts per question; temperature 1, top_p 0.95, min_p 0, max_new_tokens 24, seed 0; model 9f.\n"
        "\n"
        "| set | questions | pass@1 | runs | turns | searches | tokens | truncated | void | failures |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| nq | 2 | 75.0 ± 25.0 | ± 25.0 | 2.0 | 1.0 | 10.0 | 50.0 | 0 | 0 |\n"
        "| mu\\|sique | 3 | 16.7 ± 16.7 | ± 16.7 | 2.0 | 1.0 | 10.0 | 0.0 | 1 | 2 |\n"
        "| mu\\|sique: 2hop | 2 | 0.0 ± 0.0 | ± 0.0 | 2.0 | 1.0 | 10.0 | 0.0 | 1 | 2 |\n"
        "| mu\\|sique: 3hop | 1 | 50.0 ± - | ± 50.0 | 2.0 | 1.0 | 10.0 | 0.0 | 0 | 0 |\n"
        "| average over sets | 5 | 45.8 ± 15.0 | ± 4.2 | 2.0 | 1.0 | 10.0 | 25.0 | 1 | 2 |\n"
        "| all questions | 5 | 40.0 ± 18.7 | ± 0.0 | 2.0 | 1.0 | 10.0 | 25.0 | 1 | 2 |\n"
        "\n"
        'Percentage points. ± is the standard error over questions; after "runs" it is the standard error over runs, '
        "where run i is the i-th rollout of every question.\n"
    )


def test_json():
    value = json.loads(json_table(ONE, (1, 2)))
    measures = {
        "questions": 1,
        "samples": 2,
        "pass_at": {"1": 0.5, "2": 1.0},
        "standard_error": {"1": None, "2": None},
        "runs": [1.0, 0.0],
        "run_error": 0.5,
        "reward": 0.5,
        "turns": 2.0,
        "searches": 1.0,
        "tokens": 10.0,
        "truncated": 0.0,
        "void": 0,
        "failures": {},
    }
    prompt = {"id": "held-out0", "correct": 1, "rewards": [1.0, 0.0], "void": False, "answers": ["x", "y"]}
    assert value == {
        "settings": SETTINGS,
        **measures,
        "average_over_sets": measures,
        "sets": {"held-out": {**measures, "levels": {}}},
        "prompts": [{"set": "held-out", **prompt}],
    }


def test_json_has_full_precision_levels_and_void_questions():
    value = json.loads(json_table(TWO, (1,)))
    assert value["sets"]["mu|sique"]["pass_at"]["1"] == pytest.approx(1 / 6, abs=1e-15)
    assert list(value["sets"]["mu|sique"]["levels"]) == ["2hop", "3hop"]
    assert [(one["set"], one["correct"], one["void"]) for one in value["prompts"]] == [
        ("nq", 2, False),
        ("nq", 1, False),
        ("mu|sique", 0, False),
        ("mu|sique", 1, False),
        ("mu|sique", 0, True),
    ]
