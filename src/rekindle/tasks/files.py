"""Tasks from files: GSM8K, and JSONL, CSV or Parquet with ``prompt`` and ``answer`` or with questions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from rekindle.choices import few
from rekindle.config.tables.task import TaskTable
from rekindle.notices import warn
from rekindle.tasks.columns import answer_of, conversation_of, prompt_name
from rekindle.tasks.fields import encodable, id_text, text_of
from rekindle.tasks.qa_sets import has_question, question_task
from rekindle.tasks.rows import FileKind, PlacedRow, kind_of, read_rows
from rekindle.tasks.task_set import TaskError, TaskSet, hash_rank, normalized_prompt, prompt_id, split
from rekindle.types import Task

__all__ = ["distinct_tasks", "load_files", "read_tasks", "task_of_row", "tenth"]

GSM8K_MARK = "####"
MOST_HELD_OUT = 256


def load_files(table: TaskTable, *, eval_prompts: int | None, seed: int) -> TaskSet:
    """Read ``table.path`` and hold out prompts: those of ``table.eval_path``, or a split by prompt hash.

    With ``eval_path`` every prompt of that file is removed from the pool, and ``eval_prompts`` of them, chosen by hash,
    are the held-out prompts. Without ``eval_prompts`` a tenth of the prompts is split off, or all of ``eval_path`` is
    held out, in both cases at most 256. Where an id occurs in both files (row numbers such as ``idx``), the held-out
    task gets the hash of its prompt as id.

    Raises:
        TaskError: A file or a row cannot be used.
    """
    assert table.path is not None, "the configuration checks that file sources have a path"
    tasks = read_tasks(Path(table.path), table.source)
    if table.eval_path is None:
        found = split(tasks, eval_prompts or tenth(len(tasks), table.pool_size), table.pool_size, seed, table.path)
    else:
        held_out = read_tasks(Path(table.eval_path), table.source)
        pool = _without(tasks, held_out, table)
        held_out = _apart(held_out, pool)
        found = TaskSet(_sample(pool, table.pool_size, seed), _sample(held_out, eval_prompts or MOST_HELD_OUT, seed))
        _warn_if_fewer(table.eval_path, len(found.held_out), eval_prompts, "eval.prompts")
    _warn_if_fewer(table.path, len(found.pool), table.pool_size, "task.pool_size")
    return found


def tenth(tasks: int, pool_size: int | None) -> int:
    """Prompts to hold out of the tasks of a file."""
    return max(1, min(MOST_HELD_OUT, min(tasks, pool_size or tasks) // 10))


def read_tasks(path: Path, source: str) -> list[Task]:
    """Read the distinct tasks of one file, in file order.

    Args:
        path: File to read. GSM8K files are JSONL unless the suffix says otherwise, a file of the source ``jsonl`` with
            the suffix ``.json`` may be a list, and one of the source ``csv`` is TSV with the suffix ``.tsv``.
        source: ``jsonl``, ``csv``, ``parquet`` or ``gsm8k``.

    Rows have ``prompt`` (text, or chat messages), ``answer`` (text, a number, or a list of accepted ones) and
    optionally ``id`` (default: a hash of the prompt); all other fields become metadata. Prompt and answer may have the
    names that other trainers use (``columns``). Rows without them are questions in one of the formats of ``qa_sets``.
    Rows that repeat an earlier prompt are dropped, with one warning for the file.

    Raises:
        TaskError: A row cannot be used, or two prompts share an id; the message has ``file:line``.
    """
    to_task: Callable[[str, Mapping[str, object]], Task] = _gsm8k_task if source == "gsm8k" else task_of_row
    rows = read_rows(path, _kind(path, source))
    tasks = distinct_tasks(path, rows, to_task)
    if not tasks:
        raise TaskError(f"{path} has no rows; give a file with at least one task")
    return tasks


def _kind(path: Path, source: str) -> FileKind:
    kind = kind_of(path)
    match source:
        case "parquet":
            return "parquet"
        case "csv":
            return "tsv" if kind == "tsv" else "csv"
        case "gsm8k":
            return kind
        case _:
            return kind if kind in {"json", "parquet"} else "jsonl"


def distinct_tasks(
    path: Path, rows: Iterable[PlacedRow], to_task: Callable[[str, Mapping[str, object]], Task]
) -> list[Task]:
    """The tasks of rows without repeated prompts; warns of them.

    Raises:
        TaskError: A row cannot be used, or two prompts share an id.
    """
    by_prompt: dict[str, Task] = {}
    by_id: dict[str, tuple[str, str]] = {}
    repeated = contradicting = 0
    for place, fields in rows:
        task = to_task(place, fields)
        prompt = normalized_prompt(task.prompt)
        first_place, first_prompt = by_id.setdefault(task.id, (place, prompt))
        if first_prompt != prompt:
            raise TaskError(
                f"{place}: id {task.id!r} is that of another prompt at {first_place}; give every prompt its own id"
            )
        earlier = by_prompt.setdefault(prompt, task)
        if earlier is not task:
            repeated += 1
            contradicting += earlier.answer != task.answer
    if repeated:
        warn(
            f"{path}: {repeated} rows repeat an earlier prompt and were dropped, {contradicting} with another answer",
            stacklevel=3,
        )
    return list(by_prompt.values())


def task_of_row(place: str, fields: Mapping[str, object]) -> Task:
    """The task of a row of any source but gsm8k.

    Args:
        place: Place of the row, for messages.
        fields: Its columns.

    Raises:
        TaskError: The row cannot be used.
    """
    row = {str(name).strip().lower(): value for name, value in fields.items()}
    if {"prompt", "answer"} <= row.keys():
        return _prompt_task(place, fields, row, row["answer"])
    if has_question(fields):
        return _question_task(place, fields)
    if prompt_name(row) is not None and (answer := answer_of(place, row)) is not None:
        return _prompt_task(place, fields, row, answer)
    raise TaskError(
        f'{place}: a row needs "prompt" and "answer", or "question" and "answer" or "golden_answers", and this one has '
        f"{few(fields) or 'nothing'}; add what is missing"
    )


def _prompt_task(place: str, fields: Mapping[str, object], row: Mapping[str, object], answer: object) -> Task:
    """The task of a row; ``row`` has the names of ``fields`` in lower case."""
    name = prompt_name(row) or "prompt"
    asked = conversation_of(place, name, row[name])
    prompt = _filled(place, name, asked.prompt)
    answers = _answers(place, answer)
    used = {name, "answer", "id"}
    metadata = {field: value for field, value in fields.items() if str(field).strip().lower() not in used}
    identity = prompt_id(prompt) if row.get("id") is None else id_text(place, "id", row["id"])
    system = None if asked.system is None else encodable(place, asked.system)
    return Task(identity, prompt, _one_or_all(answers), metadata, system)


def _question_task(place: str, fields: Mapping[str, object]) -> Task:
    task = question_task(place, fields)
    if any("\n" + GSM8K_MARK in answer for answer in task.answer):
        raise TaskError(
            f'{place}: the answer is a solution that ends with "{GSM8K_MARK} <number>"; use task.source = "gsm8k"'
        )
    return replace(task, answer=_one_or_all(tuple(task.answer)))


def _one_or_all(answers: tuple[str, ...]) -> str | tuple[str, ...]:
    return answers[0] if len(answers) == 1 else answers


def _gsm8k_task(place: str, fields: Mapping[str, object]) -> Task:
    prompt, solution = _text(place, fields, "question"), _text(place, fields, "answer")
    _, mark, reference = solution.rpartition(GSM8K_MARK)
    reference = reference.replace(",", "").strip()
    if not mark or not reference:
        raise TaskError(
            f'{place}: the answer has no "{GSM8K_MARK} <number>" at its end; use task.source = "jsonl" instead'
        )
    return Task(prompt_id(prompt), prompt, reference, {"solution": solution})


def _text(place: str, fields: Mapping[str, object], name: str) -> str:
    if name not in fields:
        raise TaskError(f'{place}: there is no "{name}" (fields: {few(fields) or "none"}); add it')
    return _filled(place, name, fields[name])


def _filled(place: str, name: str, value: object) -> str:
    if isinstance(value, bytes):
        value = text_of(value)
    if not isinstance(value, str):
        remedy = "put it in quotes" if isinstance(value, int | float) else "write it as text"
        raise TaskError(f'{place}: "{name}" must be text, not {type(value).__name__}; {remedy}')
    if not value.strip():
        raise TaskError(f'{place}: "{name}" is empty; remove the row or fill it in')
    return encodable(place, value)


def _answers(place: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise TaskError(f'{place}: "answer" is an empty list; name at least one accepted answer')
    return tuple(_answer(place, one) for one in values)


def _answer(place: str, value: object) -> str:
    text = text_of(value)
    if text is None or not text.strip():
        raise TaskError(
            f'{place}: "answer" must be text, a number or a list of these, not {value!r:.80}; '
            "without an answer nothing can be verified"
        )
    return encodable(place, text)


def _without(tasks: list[Task], held_out: list[Task], table: TaskTable) -> list[Task]:
    prompts = {normalized_prompt(task.prompt) for task in held_out}
    kept = [task for task in tasks if normalized_prompt(task.prompt) not in prompts]
    if not kept:
        raise TaskError(f"every prompt of {table.path} is also in {table.eval_path}; give different files")
    if len(kept) < len(tasks):
        warn(
            f"{table.path}: {len(tasks) - len(kept)} prompts are also in {table.eval_path} and left the pool",
            stacklevel=3,
        )
    return kept


def _apart(held_out: list[Task], pool: list[Task]) -> list[Task]:
    """The held-out tasks; where the pool has the same id, a task's id becomes the hash of its prompt."""
    taken = {task.id for task in pool}
    return [replace(task, id=prompt_id(task.prompt)) if task.id in taken else task for task in held_out]


def _sample(tasks: list[Task], count: int | None, seed: int) -> tuple[Task, ...]:
    """``count`` tasks chosen by seeded hash, or all for None; in file order."""
    return tuple(tasks[index] for index in sorted(hash_rank(tasks, seed)[:count]))


def _warn_if_fewer(path: str, found: int, wanted: int | None, key: str) -> None:
    if wanted is not None and found < wanted:
        warn(f"{path}: {key} = {wanted}, but only {found} distinct prompts are there to use", stacklevel=3)
