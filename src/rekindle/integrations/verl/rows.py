"""Rows of verl's dataset as tasks, and tasks as rows of ours.

verl's own rows have ``prompt``, ``data_source``, ``reward_model.ground_truth`` and ``extra_info``. Their id is the
column ``id`` or ``extra_info.id``, where there is one, or else derived from the prompt (``row_tasks``):
``extra_info.index`` is the number of a row in its file, so that two files, or two splits, have the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rekindle.choices import few
from rekindle.integrations.row_tasks import derived_ids, own_ids, prompt_in
from rekindle.integrations.verl.ground_truths import answers_in
from rekindle.tasks.json_tasks import task_from_json, task_to_json
from rekindle.tasks.task_set import TaskError
from rekindle.types import Task

__all__ = ["TASK", "held_out_tasks", "row_of", "task_of", "tasks_of"]

TASK = "rekindle_task"
"""Key of a row with its task, as JSON values; rows of the user's own files have none."""
WHERE = "the training data (data.train_files)"
MEDIA = ("images", "videos", "audios")
"""Columns that verl reads images, videos and sounds from."""


def row_of(task: Task, agent_name: str, index: int) -> dict[str, Any]:
    """The row of a task for one of our agent loops.

    Args:
        task: The task, with JSON values only.
        agent_name: Name of the agent loop.
        index: Number of the row in its dataset.
    """
    answers = [task.answer] if isinstance(task.answer, str) else list(task.answer)
    return {
        "raw_prompt": [dict(one) for one in task.messages] or [{"role": "user", "content": task.prompt}],
        "agent_name": agent_name,
        "index": index,
        "data_source": str(task.metadata.get("data_source", "rekindle")),
        "reward_model": {"style": "rule", "ground_truth": answers},
        "extra_info": {"index": index, "id": task.id},
        TASK: task_to_json(task),
    }


def task_of(row: Mapping[str, Any]) -> Task:
    """The task of one row, ours or the user's; the latter has no id.

    Raises:
        TaskError: It has no prompt of text.
    """
    if row.get(TASK) is not None:
        return task_from_json(row[TASK])
    return _task("a row", row, row.get("raw_prompt", row.get("prompt")))


def tasks_of(dataset: Any, prompt_key: str = "prompt") -> list[Task]:
    """The tasks of a dataset of verl's or of ours, in order.

    Args:
        dataset: Its ``tasks``, or the rows in its ``dataframe``.
        prompt_key: Column of the prompts, ``data.prompt_key``.

    Raises:
        TaskError: There are no rows, they have no prompts of text, or ids are missing or not unique.
    """
    own: Sequence[Task] | None = getattr(dataset, "tasks", None)
    if own is not None:
        return list(own)
    rows = [dict(row) for row in getattr(dataset, "dataframe", dataset)]
    _check(rows, prompt_key)
    tasks = [_task(f"row {number} of {WHERE}", row, row[prompt_key]) for number, row in enumerate(rows)]
    given = [_own_id(row) for row in rows]
    has_ids = any(value is not None for value in given)
    ids = own_ids(WHERE, given, "remove them") if has_ids else derived_ids(tasks)
    return [replace(task, id=name) for task, name in zip(tasks, ids, strict=True)]


def held_out_tasks(dataset: Any, prompt_key: str = "prompt") -> list[Task]:
    """The tasks of a validation dataset; empty where their prompts cannot be listed."""
    try:
        return tasks_of(dataset, prompt_key)
    except TaskError:
        return []


def _check(rows: Sequence[Mapping[str, Any]], prompt_key: str) -> None:
    if not rows:
        raise TaskError(f"{WHERE} has no rows, so there is nothing to train on; give one with prompts")
    missing = [number for number, row in enumerate(rows) if row.get(prompt_key) is None]
    if missing:
        raise TaskError(
            f'row {missing[0]} of {WHERE} has no "{prompt_key}" (columns: {few(rows[missing[0]])}); set '
            "data.prompt_key to the column of the prompts"
        )
    for name in MEDIA:
        if any(row.get(name) is not None and len(row[name]) for row in rows):
            raise TaskError(
                f'{WHERE} has {name} (column "{name}"), and rekindle trains on text; remove the column, or train with '
                "a trainer mode of verl"
            )


def _task(place: str, row: Mapping[str, Any], value: object) -> Task:
    prompt = prompt_in(place, list(value) if isinstance(value, tuple) else value)
    source = row.get("data_source")
    metadata = {**_table(row, "extra_info"), **({} if source is None else {"data_source": source})}
    answer = _one_or_all(answers_in(_table(row, "reward_model").get("ground_truth")))
    return Task("", prompt.text, answer, metadata, prompt.messages)


def _table(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def _one_or_all(answers: tuple[str, ...]) -> str | tuple[str, ...]:
    """The reference answer, or several; "" where there is none."""
    return answers[0] if len(answers) == 1 else answers or ""


def _own_id(row: Mapping[str, Any]) -> object | None:
    found: object | None = row.get("id")
    return _table(row, "extra_info").get("id") if found is None else found
