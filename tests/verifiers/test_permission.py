"""Scorers that evaluate answers, on a system that cannot confine them: a sentence, and a yes."""

import pytest
from unguarded import one_task

from rekindle.preflight import task_set
from rekindle.recipes import resolve
from rekindle.verifiers import confinement
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier
from rekindle.verifiers.verifier import Verdict, VerifierError

pytest.importorskip("reasoning_gym")
SENTENCE = r"^the scorer of reasoning_gym countdown evaluates answers as Python code, and .* verify\.unconfined = true$"
MIXTURE = {"datasets": [{"name": "gcd", "weight": 1.0}, {"name": "countdown", "weight": 1.0}]}


@pytest.fixture
def unconfined(monkeypatch):
    monkeypatch.setattr(confinement, "landlock_version", lambda: 0)


def config_of(name, **verify):
    task = {"source": "reasoning_gym", "name": name, "pool_size": 2}
    if name == "composite":
        task["params"] = MIXTURE
    train = {"steps": 1}
    return resolve({"task": task, "model": {"path": "."}, "train": train, "eval": {"prompts": 1}, "verify": verify})


@pytest.mark.parametrize("name", ["countdown", "composite"])
def test_a_run_needs_a_yes_before_anything_else(unconfined, name):
    with pytest.raises(VerifierError, match=SENTENCE):
        task_set(config_of(name), say=print)


@pytest.mark.slow
def test_a_yes_is_enough_and_other_data_sets_need_none(unconfined):
    assert task_set(config_of("countdown", unconfined=True), say=print).pool
    assert task_set(config_of("gcd"), say=print).pool


@pytest.mark.slow
def test_the_verifier_itself_needs_a_yes(unconfined):
    task = one_task("countdown")
    for permitted in (False, True):
        verifier = ReasoningGymVerifier(workers=1, timeout_seconds=30.0, unconfined=permitted)
        try:
            if permitted:
                assert verifier.judge([(task, task.answer)]) == [Verdict(1.0)]
            else:
                with pytest.raises(VerifierError, match=SENTENCE):
                    verifier.judge([(task, task.answer)])
        finally:
            verifier.close()
