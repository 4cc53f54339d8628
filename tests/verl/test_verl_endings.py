"""How runs end: what the user can mend is one sentence, with the traceback in a file, wherever it happened."""

from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

pytest.importorskip("verl.trainer.ppo", reason="verl is not installed: make test-verl")

from ray.exceptions import RayTaskError
from runs import started
from tiny_run import Run, row

from rekindle.integrations.verl.ray_errors import mendable_in, root_of
from rekindle.types import UserError

FUNCTION = "reward.custom_reward_function"
RECIPE = "+rekindle.recipe=grpo"
GRPO: dict[str, Any] = {"mode": "rekindle", "steps": 2, "changes": [RECIPE]}
FAILING = {
    "broken": "reward.custom_reward_function raised an error in 4 groups, one after the other (KeyError: 'verdict'); "
    "correct it",
    "nothing": "reward.custom_reward_function returned None as the score of a response; return a finite number, or a "
    'table with one in "score"',
    "mendable": "the corpus is not on this machine; copy it",
}


def said(made):
    """What rekindle said at the end."""
    return [line for line in made.output.splitlines() if line.startswith("rekindle: ")]


@pytest.mark.parametrize("reward", FAILING)
def test_what_only_workers_find_is_a_sentence(make_run, reward):
    made = make_run(reward=reward, **GRPO)
    log = made.out / "checkpoints" / "rekindle" / "error.log"
    assert said(made) == [f"rekindle: {FAILING[reward]}", f"rekindle: the traceback is in {log}"]
    assert "Traceback (most recent call last)" in log.read_text()
    place = "check_score" if reward == "nothing" else "tiny_rewards.py"
    assert place in log.read_text(), "the worker's traceback"
    after = made.output.rpartition("rekindle: the traceback is in")[2]
    assert "Traceback" not in after


@pytest.mark.parametrize("reward", ["broken", "mendable"])
def test_a_validation_ends_the_run_as_well(make_run, reward):
    made = make_run(reward=reward, **GRPO | {"changes": [RECIPE, "trainer.val_before_train=True"]})
    expected = "raised an error for every held-out prompt" if reward == "broken" else FAILING[reward]
    assert expected in said(made)[0]


def test_groups_whose_reward_failed_are_told_with_the_cause(make_run):
    made = make_run(reward="failing", **GRPO).checked()
    assert "groups failed (ValueError: no reward for this prompt) and are not trained on" in made.output


def test_the_command_ends_with_the_sentence_and_code_2(assets, tmp_path):
    """Before Ray; what a worker finds takes the same way out (below)."""
    made = started(Run(str(tmp_path / "run"), reward="absent", **GRPO), assets)
    assert made.code == 2
    (sentence,) = said(made)
    assert "has no function absent; set reward.custom_reward_function.name to one that it has" in sentence
    assert "Traceback" not in made.output


@pytest.mark.slow
def test_the_command_ends_so_where_a_worker_found_it(assets, tmp_path):
    made = started(Run(str(tmp_path / "run"), reward="broken", ranks=1, **GRPO), assets)
    assert made.code == 2
    assert said(made)[0] == f"rekindle: {FAILING['broken']}"


@pytest.mark.slow
def test_workers_that_cannot_import_rekindle(assets, tmp_path):
    (tmp_path / "rekindle").mkdir()
    (tmp_path / "rekindle" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'rekindle'\")")
    elsewhere = f"+ray_kwargs.ray_init.runtime_env.env_vars.PYTHONPATH={tmp_path}"
    made = started(Run(str(tmp_path / "run"), ranks=1, **GRPO), assets, elsewhere)
    assert made.code == 2
    assert "a worker of Ray cannot import rekindle; install it on every machine of the cluster" in said(made)[0]


def without_prompt(number):
    return {**row(number), "prompt": []}


def of_another_source(number):
    return {**row(number), "data_source": "puzzles"}


FILES = {
    "no prompt": (without_prompt, [], '"prompt" must be text or a list of messages'),
    "unknown source": (
        of_another_source,
        [f"{FUNCTION}.path=pkg://rekindle.integrations.verl.reward", f"{FUNCTION}.name=compute_score"],
        'the verifier for data_source = "puzzles" is not known',
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_first_rows_are_read_before_anything_starts(make_run, tmp_path, name):
    of, changes, expected = FILES[name]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([of(number) for number in range(8)]), path)
    made = make_run(**GRPO | {"changes": [RECIPE, f"data.train_files={path}", *changes]})
    assert expected in said(made)[0]
    assert "TaskRunner" not in made.output, "Ray ran nothing"


def test_a_bug_of_others_keeps_its_traceback(make_run):
    made = make_run(moment="no_such_module:function", at=1, **GRPO)
    assert not said(made)
    assert "RayTaskError(ModuleNotFoundError)" in made.output


def wrapped(error, times):
    for _ in range(times):
        error = RayTaskError("run", "Traceback ...", error).as_instanceof_cause()
    return error


@pytest.mark.parametrize("times", [0, 1, 3])
def test_the_root_of_an_error_that_passed_several_processes(times):
    inner = UserError("correct it")
    assert root_of(wrapped(inner, times)) is inner
    assert mendable_in(wrapped(inner, times)) is inner
    assert mendable_in(wrapped(ValueError("no"), times)) is None


def test_a_machine_without_rekindle_is_a_sentence():
    error = wrapped(ModuleNotFoundError("No module named 'rekindle'"), 1)
    assert "install it on every machine" in str(mendable_in(error))
