"""Tasks from files of rows, and from the files of a data set on the hub."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rekindle.config.tables.task import TaskTable
from rekindle.notices import Say, warn
from rekindle.tasks.division import Named, divided
from rekindle.tasks.hub_sets import downloaded_splits
from rekindle.tasks.row_tasks import RowReader
from rekindle.tasks.rows import FileKind, PlacedRow, kind_of, read_rows
from rekindle.tasks.task_set import (
    TaskError,
    TaskSet,
    conversation_id,
    prompt_key,
    task_id,
)
from rekindle.types import Task

__all__ = ["distinct", "load_files", "load_hub", "read_tasks", "tasks_of"]


@dataclass(frozen=True, slots=True)
class _Part:
    """Files that are read as one, with the name that messages give them."""

    name: str
    paths: Sequence[Path]


def load_files(table: TaskTable, *, eval_prompts: int | None, seed: int, needs_answers: bool = True) -> TaskSet:
    """Read ``table.path`` and hold out prompts: those of ``table.eval_path``, or a split by prompt hash.

    With ``eval_path`` every prompt of that file is removed from the pool, and ``eval_prompts`` of them, chosen by hash,
    are the held-out prompts. Without ``eval_prompts`` a tenth of the prompts is split off, or all of ``eval_path`` is
    held out, in both cases at most 256. Where an id occurs in both files (row numbers such as ``idx``), the held-out
    task gets the hash of its prompt as id.

    Raises:
        TaskError: A file or a row cannot be used.
    """
    assert table.path is not None, "the configuration checks that file sources have a path"
    held_out = None if table.eval_path is None else _Part(table.eval_path, [Path(table.eval_path)])
    return _load(_Part(table.path, [Path(table.path)]), held_out, table, eval_prompts, seed, needs_answers)


def load_hub(
    table: TaskTable,
    *,
    eval_prompts: int | None,
    seed: int,
    needs_answers: bool = True,
    commit: str | None = None,
    say: Say = print,
) -> TaskSet:
    """Read ``table.split`` of a data set on the hub, and hold out prompts of it or of ``table.eval_split``.

    Args:
        table: Names data set, subset, splits and revision.
        eval_prompts: See ``load_files``.
        seed: See ``load_files``.
        needs_answers: Refuse rows without an answer.
        commit: Commit that a run began with, which is used instead of ``table.revision``.
        say: Shows a line before a download.

    Raises:
        TaskError: The data set cannot be downloaded, has no such subset or split, or a row cannot be used.
    """
    assert table.path is not None, "the configuration checks that the hub is given a name"
    splits = [table.split, *([] if table.eval_split is None else [table.eval_split])]
    found = downloaded_splits(table.path, commit or table.revision, table.subset, splits, say)
    parts = [_Part(f"{table.path} ({name})", paths) for name, paths in zip(splits, found.paths, strict=True)]
    held_out = parts[1] if len(parts) > 1 else None
    return replace(_load(parts[0], held_out, table, eval_prompts, seed, needs_answers), commit=found.commit)


def _load(
    part: _Part, held_out_part: _Part | None, table: TaskTable, eval_prompts: int | None, seed: int, needs_answers: bool
) -> TaskSet:
    tasks = Named(part.name, _read(part, table, needs_answers))
    held_out = None if held_out_part is None else Named(held_out_part.name, _read(held_out_part, table, needs_answers))
    return divided(tasks, held_out, pool_size=table.pool_size, eval_prompts=eval_prompts, seed=seed)


def read_tasks(path: Path, source: str, *, needs_answers: bool = True) -> list[Task]:
    """Read the distinct tasks of one file, in file order.

    Args:
        path: File to read. GSM8K files are JSONL unless the suffix says otherwise, a file of the source ``jsonl`` with
            the suffix ``.json`` may be a list, and one of the source ``csv`` is TSV with the suffix ``.tsv``.
        source: ``jsonl``, ``json``, ``csv``, ``parquet`` or ``gsm8k``.
        needs_answers: Refuse rows without an answer.

    Rows have ``prompt`` (text, or chat messages), ``answer`` (text, a number, or a list of accepted ones) and
    optionally ``id`` (default: a hash of the prompt); all fields but the prompt become metadata. Prompt and answer may
    have the names that other trainers use (``columns``). Rows without them are questions in one of the formats of
    ``qa_sets``. Rows that repeat an earlier prompt are dropped, with one warning for the file.

    Raises:
        TaskError: A row cannot be used, or two prompts share an id; the message has ``file:line``.
    """
    return _read(_Part(str(path), [path]), TaskTable(source=source, path=str(path)), needs_answers)  # type: ignore[arg-type]


def _read(part: _Part, table: TaskTable, needs_answers: bool) -> list[Task]:
    forms = {"gsm8k": "gsm8k", "hub": "any"}
    reader = RowReader(table.columns, needs_answers, forms.get(table.source, "plain"))
    return tasks_of(
        part.name, (row for path in part.paths for row in read_rows(path, _kind(path, table.source))), reader
    )


def tasks_of(name: str, rows: Iterable[PlacedRow], reader: RowReader) -> list[Task]:
    """The distinct tasks of rows, in order; see ``read_tasks``.

    Args:
        name: Name of the source, for messages.
        rows: Each with its place.
        reader: Reads a row.

    Raises:
        TaskError: There is no row, a row cannot be used, or two prompts share an id.
    """
    tasks = distinct(name, [(place, reader.task(place, fields)) for place, fields in rows])
    if not tasks:
        raise TaskError(f"{name} has no rows; give a file with at least one task")
    reader.check_found(name)
    return tasks


def _kind(path: Path, source: str) -> FileKind:
    kind = kind_of(path)
    match source:
        case "parquet" | "json":
            return "parquet" if source == "parquet" else "json"
        case "csv":
            return "tsv" if kind == "tsv" else "csv"
        case "gsm8k" | "hub":
            return kind
        case _:
            return kind if kind in {"json", "parquet"} else "jsonl"


def distinct(name: str, placed: Sequence[tuple[str, Task]]) -> list[Task]:
    """The first task of every prompt; those without an id get the hash of their prompt."""
    by_prompt: dict[str, Task] = {}
    by_id: dict[str, tuple[str, str]] = {}
    contradicting = 0
    prompts = [prompt_key(task) for _, task in placed]
    tasks = _with_ids([task for _, task in placed], prompts)
    for (place, _), task, prompt in zip(placed, tasks, prompts, strict=True):
        first_place, first_prompt = by_id.setdefault(task.id, (place, prompt))
        if first_prompt != prompt:
            raise TaskError(
                f"{place}: id {task.id!r} is that of another prompt at {first_place}; give every prompt its own id"
            )
        earlier = by_prompt.setdefault(prompt, task)
        contradicting += earlier.answer != task.answer
    if repeated := len(placed) - len(by_prompt):
        warn(
            f"{name}: {repeated} rows repeat an earlier prompt and were dropped, {contradicting} with another answer",
            stacklevel=3,
        )
    return list(by_prompt.values())


def _with_ids(tasks: Sequence[Task], prompts: Sequence[str]) -> list[Task]:
    """The tasks, each with an id; ``conversation_id`` where the user's text would give several prompts the same one.

    Args:
        tasks: Some without an id.
        prompts: ``prompt_key`` of each.
    """
    hashed = {prompt: task for task, prompt in zip(tasks, prompts, strict=True) if not task.id}
    ids = {prompt: task_id(task) for prompt, task in hashed.items()}
    counts = Counter(ids.values())
    ids |= {prompt: conversation_id(hashed[prompt]) for prompt, found in ids.items() if counts[found] > 1}
    return [task if task.id else replace(task, id=ids[prompt]) for task, prompt in zip(tasks, prompts, strict=True)]
