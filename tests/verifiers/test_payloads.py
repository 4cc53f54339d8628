"""Hostile answers against the worker process without a guard, and against the guards of the nine scorers."""

import os
import sys

import pytest
from payloads import BOMBS, EXPRESSIONS, HAPPENED, LONG, MAYBE, STATEMENTS, TAKEN_AS_LITERALS, Stage
from processes import children, descendants
from unguarded import as_answer, job_of, one_task, unguarded_pool

from rekindle.verifiers.confinement import LAYERS, available
from rekindle.verifiers.guards import GUARDS, is_literal
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier
from rekindle.verifiers.scorers import REFUSED, admitted
from rekindle.verifiers.verifier import Verdict

pytest.importorskip("reasoning_gym")
confined = pytest.mark.skipif(available() != LAYERS, reason="this system cannot confine scorers")
ENTRY = {"answer": "1 + 1", "metadata": {"variable": "x"}}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


def judged(stage, layers):
    """(verdict of each payload by name, processes left before the pool closes, and afterwards)."""
    before = children(os.getpid())
    pool = unguarded_pool(layers, workers=2, timeout_seconds=10.0)
    try:
        verdicts = pool.judge([job_of(stage.code(statements)) for statements in STATEMENTS.values()])
        (server,) = children(os.getpid()) - before
        left = descendants(server)
    finally:
        pool.close()
    return dict(zip(STATEMENTS, verdicts, strict=True)), left, children(os.getpid()) - before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="some payloads are Linux's")
def test_every_payload_works_where_nothing_confines_it(tmp_path):
    stage = Stage(tmp_path)
    try:
        verdicts, left, afterwards = judged(stage, ("none",))
        assert {name for name, verdict in verdicts.items() if verdict != Verdict(HAPPENED)} <= MAYBE
        assert {"files", "mode", "times", "priorities", "connections", "packets"} & set(stage.changed())
    finally:
        stage.close()
    assert not left
    assert not afterwards


@confined
def test_no_payload_succeeds_in_a_worker_changes_anything_or_leaves_a_process(stage):
    verdicts, left, afterwards = judged(stage, LAYERS)
    assert {name for name, verdict in verdicts.items() if verdict.score >= HAPPENED} == set()
    assert {verdict.failure for verdict in verdicts.values()} <= {None, "crash"}
    assert stage.changed() == []
    assert not left
    assert not afterwards
    assert not [name for place in ("/tmp", "/dev/shm") for name in os.listdir(place) if "rekindle-made" in name]


@pytest.mark.parametrize("name", GUARDS)
def test_guards_refuse_code(stage, name):
    texts = [*EXPRESSIONS, *(as_answer(stage.code(statements)) for statements in STATEMENTS.values())]
    texts += [f"1 + {text}" for text in texts] + [f"[{text}]" for text in texts] + [f"  {text}\n" for text in texts]
    assert {text for text in texts if admitted(name, text, ENTRY) != REFUSED} == set()


@pytest.mark.parametrize("name", [name for name, guard in GUARDS.items() if guard is not is_literal])
@pytest.mark.parametrize("text", BOMBS)
def test_guards_refuse_bombs(name, text):
    assert admitted(name, text, ENTRY) == REFUSED


@pytest.mark.parametrize("name", GUARDS)
def test_guards_refuse_answers_of_ten_megabytes(name):
    assert {text[:9] for text in LONG if admitted(name, text, ENTRY) != REFUSED} == set()


@confined
def test_literals_that_nobody_would_answer_give_nothing():
    verifier = ReasoningGymVerifier(workers=2, timeout_seconds=60.0)
    tasks = [one_task(name) for name, guard in GUARDS.items() if guard is is_literal]
    assert [text for text in TAKEN_AS_LITERALS if not is_literal(text, ENTRY)] == []
    try:
        found = verifier.judge([(task, text) for task in tasks for text in TAKEN_AS_LITERALS])
    finally:
        verifier.close()
    assert {verdict.score for verdict in found} == {0.0}
    assert {verdict.failure for verdict in found} == {None}


@pytest.mark.slow
@confined
def test_no_payload_succeeds_in_any_of_the_nine_scorers(stage):
    verifier = ReasoningGymVerifier(workers=2, timeout_seconds=30.0)
    answers = [as_answer(stage.code(statements)) for statements in STATEMENTS.values()]
    try:
        for name in GUARDS:
            task = one_task(name)
            verdicts = verifier.judge([(task, answer) for answer in [*answers, *EXPRESSIONS]])
            assert {verdict.score for verdict in verdicts} <= {0.0, 0.01}
            assert {verdict.failure for verdict in verdicts} == {None}
    finally:
        verifier.close()
    assert stage.changed() == []
