"""Answers that answer nothing earn nothing: every template of the adversary against every verifier."""

import json
import sys
from pathlib import Path

import pytest

from rekindle.config import Config
from rekindle.config.tables.task import TaskTable
from rekindle.types import Task
from rekindle.verifiers.weaknesses import weaknesses

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
import verifier_adversary as adversary  # noqa: E402

IN_PROCESS = {
    "exact_match": {},
    "qa_exact_match": {},
    "cover_match": {},
    "f1": {"success_threshold": 0.5},
}


def paid(trial):
    """Templates that earn more than the bound, with what they earn."""
    found = adversary.attack(trial)
    return {
        f"{family}/{name}": mean
        for family, templates in found.items()
        for name, mean in templates.items()
        if mean > adversary.BOUND
    }


def test_a_copied_answer_is_not_the_problems_own():
    one, two, three = (Task(name, name, answer) for name, answer in (("one", "yes"), ("two", "yes"), ("three", "no")))
    assert adversary.others([one, two, three]) == [three, three, one]


@pytest.mark.parametrize("verifier", IN_PROCESS)
def test_comparisons_of_words_pay_nothing(verifier):
    problems = [*adversary.generated_problems(8), *adversary.invented_questions(9)]
    trial = adversary.Trial(verifier, adversary.table_of(verifier, **IN_PROCESS[verifier]), problems)
    assert paid(trial) == {}


def test_maths_pays_nothing():
    """For numbers, which need no worker."""
    pytest.importorskip("math_verify")
    problems = [task for task in adversary.generated_problems(16) if not task.prompt.startswith("Expand")]
    assert paid(adversary.Trial("math", adversary.table_of("math"), problems)) == {}


@pytest.mark.slow
def test_symbolic_maths_pays_nothing():
    pytest.importorskip("math_verify")
    assert paid(adversary.Trial("math", adversary.table_of("math"), adversary.generated_problems(24))) == {}


@pytest.mark.parametrize("name", ["a judge that follows its prompt", "a lenient judge"])
def test_a_judge_pays_nothing(name):
    trial = adversary.Trial(name, adversary.table_of("judge"), adversary.invented_questions(3))
    assert paid(trial) == {}


@pytest.mark.slow
def test_reasoning_gym_pays_nothing():
    pytest.importorskip("reasoning_gym")
    problems = adversary.gym_problems(1, ("chain_sum", "spell_backward", "gcd"))
    families = {name: adversary.FAMILIES[name] for name in ("the question", "its expression", "candidates", "nothing")}
    trial = adversary.Trial("reasoning_gym", adversary.table_of("reasoning_gym"), problems)
    assert max(mean for found in adversary.attack(trial, families).values() for mean in found.values()) == 0


def test_the_right_answers_are_paid():
    pytest.importorskip("math_verify")
    for verifier, problems in (
        ("math", adversary.generated_problems(6)),
        ("f1", adversary.invented_questions(9)),
        ("judge", adversary.invented_questions(9)),
    ):
        right = {"right": {"in tags": lambda task, _: f"<answer>{adversary.answer_of(task)}</answer>"}}
        trial = adversary.Trial(verifier, adversary.table_of(verifier), problems)
        assert adversary.attack(trial, right) == {"right": {"in tags": 1.0}}


def test_real_problems_pay_nothing_for_numbers_and_echoes(data):
    """A part of the table, on real problems: what needs no worker."""
    problems = adversary.maths_problems(data, 30)[30:]
    families = {
        name: adversary.FAMILIES[name] for name in ("the question", "its expression", "its numbers", "candidates")
    }
    found = adversary.attack(adversary.Trial("math", adversary.table_of("math"), problems), families)
    rewards = [mean for templates in found.values() for mean in templates.values()]
    assert sum(rewards) / len(rewards) <= adversary.BOUND / 2


def measured():
    return json.loads(adversary.RESULTS.read_text())


def test_what_was_measured_is_within_the_bound():
    for name, one in measured().items():
        assert one["problems"] >= 500
        assert set(one["families"]) == set(adversary.FAMILIES)
        if "its scores" in name or "itself" in name or "lenient" in name:
            continue  # partial credit and a judge that ignores its prompt: said on the page
        for family, templates in one["families"].items():
            assert sum(templates.values()) / len(templates) <= adversary.BOUND, (name, family)


def test_the_page_says_what_was_measured():
    page = (ROOT / "docs" / adversary.PAGE).read_text(encoding="utf-8")
    assert arms.block(page, adversary.BLOCK) == adversary.block(measured()), (
        "run: python benchmarks/verifier_adversary.py --docs"
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"verifier": "cover_match"}, "lists a few guesses"),
        ({"verifier": "f1", "success_threshold": 0.5}, "success_threshold = 0.5"),
        ({"verifier": "f1", "binary_rewards": False}, "binary_rewards = false"),
        ({"source": "reasoning_gym", "binary_rewards": False}, "any answer"),
        ({"verifier": "reasoning_gym", "success_threshold": 0.2}, "any answer"),
        ({"verifier": "reasoning_gym"}, None),
        ({"verifier": "math"}, None),
        ({"verifier": "judge"}, None),
        ({}, None),
    ],
)
def test_what_a_verifier_cannot_defend_against_is_said(settings, says):
    found = list(weaknesses(Config(task=TaskTable(**settings))))
    assert [says in text for text in found] == ([True] if says else [])
