"""Tasks of the rows of a ``datasets.Dataset``, by duck typing: a length, rows by number, and names of columns.

A row's id is its column ``id``, or else derived (``row_tasks``).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rekindle.choices import few
from rekindle.integrations.row_tasks import derived_ids, own_ids, prompt_in
from rekindle.tasks.columns import answer_of
from rekindle.tasks.fields import text_of
from rekindle.tasks.task_set import TaskError
from rekindle.types import Task

__all__ = ["held_out_tasks", "tasks_of"]

IMAGES = ("image", "images")
"""Columns that TRL reads images from."""
WHERE = "train_dataset"


def tasks_of(dataset: Any) -> list[Task]:
    """The tasks of a dataset's rows, in order; ``task.metadata`` has the columns except the prompt.

    Raises:
        TaskError: There is no dataset, it is a stream, empty or without prompts, it has images, or ids are not unique.
    """
    _check(dataset)
    rows = [dict(row) for row in dataset]
    prompts = [prompt_in(f"row {number} of {WHERE}", row["prompt"]) for number, row in enumerate(rows)]
    tasks = [
        Task("", prompt.text, _answer(row), _others(row), prompt.messages)
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    given = [row.get("id") for row in rows]
    has_ids = any(value is not None for value in given)
    ids = own_ids(WHERE, given, "remove the column") if has_ids else derived_ids(tasks)
    return [replace(task, id=name) for task, name in zip(tasks, ids, strict=True)]


def held_out_tasks(dataset: Any) -> list[Task]:
    """The tasks of an evaluation dataset, or of several by name; empty where their prompts cannot be listed."""
    parts = list(dataset.values()) if isinstance(dataset, Mapping) else [] if dataset is None else [dataset]
    try:
        return [task for part in parts for task in tasks_of(part)]
    except TaskError:
        return []


def _others(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "prompt"}


def _answer(row: Mapping[str, object]) -> str:
    """The reference answer for samples and reports; "" where there is none. Rewards read columns."""
    return text_of(answer_of("", row, needed=False)) or ""


def _check(dataset: Any) -> None:
    if dataset is None:
        raise TaskError(
            f"{WHERE} is None, and an environment that owns the prompts gives rekindle none to choose from; give a "
            "dataset with a row per prompt"
        )
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TaskError(
            f"{WHERE} is a {type(dataset).__name__}, a stream without length, and rekindle chooses among all prompts; "
            "load it whole (load_dataset without streaming=True, or Dataset.from_generator)"
        )
    if not len(dataset):
        raise TaskError(f"{WHERE} has no rows, so there is nothing to train on; give one with prompts")
    columns = list(getattr(dataset, "column_names", None) or dataset[0])
    if found := [name for name in IMAGES if name in columns]:
        raise TaskError(
            f'{WHERE} has images (column "{found[0]}"), and rekindle trains on text; remove the column, or train '
            "with TRL's own GRPOTrainer"
        )
    if "prompt" not in columns:
        raise TaskError(f'{WHERE} has no column "prompt" (columns: {few(columns)}); rename the one with the prompts')
