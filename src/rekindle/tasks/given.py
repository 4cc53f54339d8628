"""Tasks that a script hands over: rows as a file has them, or ``Task`` objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.config.tables.task import ColumnsTable
from rekindle.tasks.division import Named, divided
from rekindle.tasks.files import distinct
from rekindle.tasks.row_tasks import RowReader
from rekindle.tasks.task_set import TaskError, TaskSet
from rekindle.types import Task

__all__ = ["given_questions", "given_tasks"]

SEED = 0
"""Chooses the held-out prompts, as for a file."""


def given_tasks(
    rows: Sequence[Task | Mapping[str, Any]],
    held_out: Sequence[Task | Mapping[str, Any]] | None,
    *,
    columns: ColumnsTable,
    needs_answers: bool,
    eval_prompts: int | None,
    pool_size: int | None,
) -> TaskSet:
    """Pool and held-out prompts of given rows.

    Args:
        rows: Mappings with ``prompt`` and ``answer`` (or the names of other trainers), or tasks.
        held_out: Rows to evaluate on; None: some of ``rows``, by a hash of their prompts.
        columns: Columns that the user names.
        needs_answers: Refuse rows without an answer.
        eval_prompts: Prompts to hold out; None: a tenth, at most 256.
        pool_size: Most prompts of the pool; None: all.

    Raises:
        TaskError: A row cannot be used; the message has its place, ``tasks[17]``.
    """
    reader = RowReader(columns, needs_answers, "any")
    apart = None if held_out is None else Named("held_out", _read(held_out, "held_out", reader))
    found = Named("tasks", _read(rows, "tasks", reader))
    return divided(found, apart, pool_size=pool_size, eval_prompts=eval_prompts, seed=SEED)


def given_questions(rows: Sequence[Task | Mapping[str, Any]], *, columns: ColumnsTable, needs_answers: bool) -> TaskSet:
    """Given rows that are all asked: a pool without held-out prompts.

    Args:
        rows: See ``given_tasks``.
        columns: See ``given_tasks``.
        needs_answers: See ``given_tasks``.

    Raises:
        TaskError: See ``given_tasks``.
    """
    return TaskSet(tuple(_read(rows, "tasks", RowReader(columns, needs_answers, "any"))), ())


def _read(rows: Sequence[Task | Mapping[str, Any]], name: str, reader: RowReader) -> list[Task]:
    if not rows:
        raise TaskError(f"{name} is empty; give at least one row")
    places = [f"{name}[{place}]" for place in range(len(rows))]
    found = distinct(name, [(place, _task(place, row, reader)) for place, row in zip(places, rows, strict=True)])
    if any(isinstance(row, Mapping) for row in rows):
        reader.check_found(name)
    return found


def _task(place: str, row: object, reader: RowReader) -> Task:
    if isinstance(row, Task):
        return row
    if not isinstance(row, Mapping):
        raise TaskError(
            f"{place} is a {type(row).__name__}, and a row is a mapping or a Task; give e.g. "
            '{"prompt": "What is 2 + 3?", "answer": "5"}'
        )
    return reader.task(place, row)
