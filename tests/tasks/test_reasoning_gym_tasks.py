"""reasoning-gym's data sets as tasks, made for real in the child process."""

import ast
from typing import Any

import pytest

from rekindle.config.tables.task import TaskTable
from rekindle.tasks.loading import load_tasks
from rekindle.tasks.reasoning_gym import tasks_from_entries
from rekindle.tasks.reasoning_gym_main import generate_entries, make_dataset
from rekindle.tasks.task_set import TaskError

pytest.importorskip("reasoning_gym")


def load(name, pool_size=20, eval_prompts=5, seed=0, **params):
    table = TaskTable(source="reasoning_gym", name=name, pool_size=pool_size, params=params)
    return load_tasks(table, eval_prompts=eval_prompts, seed=seed)


@pytest.mark.slow
def test_a_generator_that_depends_on_global_state_gives_the_same_tasks_every_time():
    found = load("list_functions")
    assert (len(found.pool), len(found.held_out)) == (20, 5)
    assert found == load("list_functions")
    task = found.pool[0]
    assert task.metadata["dataset"] == {"name": "list_functions", "params": {"seed": 0, "size": 25}}


@pytest.mark.slow
def test_parameters_and_repeated_prompts():
    with pytest.warns(UserWarning, match=r"reasoning_gym gcd: only \d+ of 105 prompts are distinct"):
        found = load("gcd", pool_size=100, max_value=5, seed=3)
    assert len(found.held_out) == 5
    assert len(found.pool) < 100
    assert found.pool[0].metadata["dataset"]["params"] == {"max_value": 5, "seed": 3, "size": 105}


@pytest.mark.parametrize(
    ("name", "params", "complaint"),
    [
        ("countdwn", {}, "no data set 'countdwn', did you mean 'countdown'"),
        (
            "countdown",
            {"max_number": 3},
            "no parameter 'max_number', did you mean 'max_numbers'.* it takes min_numbers",
        ),
        (
            "countdown",
            {"min_numbers": 9},
            "refuses its parameters: max_numbers must be >= min_numbers; correct task.params",
        ),
        ("gcd", {"min_value": "a"}, "refuses its parameters"),
        ("composite", {}, "Must specify at least one dataset"),
    ],
)
def test_bad_names_and_parameters_are_refused_in_a_sentence(name, params, complaint):
    with pytest.raises(TaskError, match=complaint) as caught:
        make_dataset(name, {"seed": 0, "size": 3, **params})
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_errors_come_back_from_the_child_process():
    with pytest.raises(TaskError, match="did you mean 'countdown'"):
        load("countdwn")


def test_the_size_is_ours_to_set():
    with pytest.raises(TaskError, match=r"task.params size cannot be given; set task.pool_size"):
        load("gcd", size=5)


def test_lists_become_tuples_and_tables_become_data_sets():
    countdown: Any = make_dataset("countdown", {"seed": 0, "size": 1, "operators": ["+", "-"]})
    assert countdown.config.operators == ("+", "-")
    parts = [{"name": "gcd", "weight": 1.0}, {"name": "lcm", "weight": 1.0, "config": {"max_value": 9}}]
    entries = generate_entries("composite", {"seed": 0, "size": 30, "datasets": parts})
    assert len(entries) == 30
    assert {"Greatest", "Least"} <= {word for entry in entries for word in entry["question"].split()}


def test_a_data_set_without_reference_answers():
    dataset: dict[str, Any] = {"name": "graph_color", "params": {"seed": 0, "size": 3}}
    tasks = tasks_from_entries(dataset, generate_entries(**dataset))
    assert [task.answer for task in tasks] == [(), (), ()]
    assert [task.metadata["index"] for task in tasks] == [0, 1, 2]


def test_entries_survive_as_literals_or_are_left_to_be_made_again():
    (arc,) = generate_entries("arc_1d", {"seed": 0, "size": 1})
    assert ast.literal_eval(arc["entry"])["metadata"]["difficulty"]["size"] == (10, 30)  # a tuple, which JSON has not
    (knights,) = generate_entries("knights_knaves", {"seed": 0, "size": 1})
    assert knights["entry"] is None
