"""Rows of verl's dataset as tasks, and tasks as rows of ours; without verl."""

import json

import pytest

from rekindle.integrations.trl.rows import tasks_of as tasks_of_trl
from rekindle.integrations.verl.rows import TASK, row_of, task_of, tasks_of
from rekindle.tasks.task_set import TaskError, prompt_id
from rekindle.types import Task

USER = {"role": "user", "content": "2+2="}


def row(number, content="2+2=", answer="4", **columns):
    """A row as verl's own preparation of GSM8K writes it."""
    return {
        "prompt": [{"role": "user", "content": content}],
        "data_source": "openai/gsm8k",
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {"index": number, "split": "train"},
        **columns,
    }


class Dataset:
    """What is read of verl's ``RLHFDataset``."""

    def __init__(self, rows):
        self.dataframe = rows


def ids(rows):
    return [task.id for task in tasks_of(Dataset(rows))]


def test_a_row_of_verl():
    (task,) = tasks_of(Dataset([row(7)]))
    assert task == Task(
        prompt_id("2+2="), "2+2=", "4", {"index": 7, "split": "train", "data_source": "openai/gsm8k"}, (USER,)
    )


@pytest.mark.parametrize(
    ("truth", "answer"),
    [
        (72, "72"),
        ("Paris", "Paris"),
        (["Paris", "paris"], ("Paris", "paris")),
        (["Paris"], "Paris"),
        ({"target": ["Paris", "paris"]}, ("Paris", "paris")),
        (None, ""),
    ],
)
def test_answers_of_rows(truth, answer):
    (task,) = tasks_of(Dataset([row(0, answer=truth)]))
    assert task.answer == answer


def test_ids_do_not_depend_on_the_numbers_of_rows():
    assert ids([row(0), row(1, "3+3=", "6")]) == ids([row(5), row(0, "3+3=", "6")])
    assert ids([row(1, "3+3=", "6"), row(0)]) == ids([row(0), row(1, "3+3=", "6")])[::-1]


def test_ids_are_those_of_a_file_and_of_trl():
    assert ids([row(0)]) == [prompt_id("2+2=")]
    assert ids([row(0)]) == [task.id for task in tasks_of_trl([{"prompt": "2+2=", "answer": "4"}])]


def test_rows_with_the_same_prompt_have_ids_of_their_own():
    found = ids([row(0), row(0, answer="5"), row(0), row(1, "3+3=", "6")])
    assert len(set(found)) == 4
    assert found[2].startswith(prompt_id("2+2="))


def test_ids_of_the_users_own():
    assert ids([row(0, id="a"), row(0, id="b")]) == ["a", "b"]
    assert ids([row(0, extra_info={"id": 5}), row(0, extra_info={"id": 6})]) == ["5", "6"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], r"data.train_files\) has no rows"),
        (
            [{"question": "a"}],
            r'row 0 of the training data .* has no "prompt" \(columns: question\); set data.prompt_key',
        ),
        ([row(0, id="a"), row(1, id="a")], r'rows 0 and 1 of .* have the same id "a"; make the ids unique'),
        ([row(0, id="a"), row(1)], r'row 1 of .*: "id" must be text or a whole number, not None'),
        ([row(0, prompt=[{"role": "user", "content": [{"type": "image"}]}])], r"rekindle trains on messages of text"),
        ([row(0, images=[b"x"])], r'has images \(column "images"\), and rekindle trains on text'),
    ],
)
def test_rows_that_cannot_be_used(rows, words):
    with pytest.raises(TaskError, match=words):
        tasks_of(Dataset(rows))


def test_a_task_travels_as_a_row():
    task = Task(
        "t/1", "Where?", ("Rome", "Roma"), {"corpus": "x", "level": 2}, ({"role": "user", "content": "Where?"},)
    )
    sent = row_of(task, "rekindle_search", 3)
    assert task_of(sent) == task
    assert json.loads(json.dumps(sent[TASK])) == sent[TASK]
    assert (sent["agent_name"], sent["index"], sent["raw_prompt"]) == ("rekindle_search", 3, [dict(task.messages[0])])
    assert sent["reward_model"]["ground_truth"] == ["Rome", "Roma"]


def test_the_users_row_is_a_task_where_it_is_played():
    sent = {**row(0, answer={"target": ["4"]}), "raw_prompt": [USER]}
    assert (task_of(sent).prompt, task_of(sent).answer) == ("2+2=", "4")


def test_a_dataset_of_ours_has_its_tasks():
    class Ours:
        tasks = (Task("a", "b", "c"),)

    assert tasks_of(Ours()) == [Task("a", "b", "c")]
