"""The tasks of a run: ``tasks.jsonl``, with a line per task, so that a resumed run can tell whether they are the same.

    {"set": "pool", "id": "q17", "prompt": "0f3a...", "answer": "99b2...", "text": "How many ...", "level": "2"}

Prompt (the whole conversation) and answer are hashes. ``text`` is the beginning of the conversation without the
system message, by which people recognize a task in the report; ``level`` is there where the task has one. The order of
the lines is that of the run's pool.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rekindle.choices import few
from rekindle.notices import warn
from rekindle.records.durable_files import replaced
from rekindle.types import Task, UserError

__all__ = ["RunTasksError", "keep_tasks", "same_pool", "same_tasks"]

FILE = "tasks.jsonl"
TEXT = 300
"""Most characters of a task's text."""
Part = Literal["pool", "held_out"]
NAMES: Mapping[Part, str] = {"pool": "the pool", "held_out": "the held-out prompts"}
Line = Mapping[str, str]
KEYS = ("set", "id", "prompt", "answer")


class RunTasksError(UserError):
    """The tasks of a resumed run are not those that it began with."""


def keep_tasks(directory: Path, pool: Sequence[Task], held_out: Sequence[Task]) -> None:
    """Write the tasks that a run begins with, whole or not at all."""
    with replaced(directory / FILE) as partial, partial.open("w", encoding="utf-8") as file:
        for part, tasks in (("pool", pool), ("held_out", held_out)):
            file.writelines(json.dumps({"set": part, **_line(task), **_for_people(task)}) + "\n" for task in tasks)


def same_tasks(
    directory: Path, pool: Sequence[Task], held_out: Sequence[Task]
) -> tuple[tuple[Task, ...], tuple[Task, ...]]:
    """Pool and held-out prompts in the order with which the run began; warns of changed answers and of another order.

    A run of an earlier version, which has no list of its tasks, gets them as they are.

    Raises:
        RunTasksError: Tasks were added or removed, or their prompts were changed; or the list is damaged.
    """
    saved = _saved(directory / FILE)
    return _same("pool", saved, pool), _same("held_out", saved, held_out)


def same_pool(directory: Path, pool: Sequence[Task]) -> tuple[Task, ...]:
    """The same for the pool alone, where another trainer evaluates on prompts of its own, which may change.

    Raises:
        RunTasksError: See ``same_tasks``.
    """
    return _same("pool", _saved(directory / FILE), pool)


def _same(part: Part, saved: Sequence[Line] | None, tasks: Sequence[Task]) -> tuple[Task, ...]:
    if saved is None:
        return tuple(tasks)
    now = {task.id: task for task in tasks}
    before = {line["id"]: line for line in saved if line["set"] == part}
    changes = {
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
    }
    lines = {name: _line(now[name]) for name in before if name in now}
    changes["with other prompts"] = [name for name, line in lines.items() if line["prompt"] != before[name]["prompt"]]
    found = [f"{len(names):,} {what} ({few(map(repr, names), 3)})" for what, names in changes.items() if names]
    if found:
        raise RunTasksError(
            f"{NAMES[part]} of this run had {len(before):,} tasks when it began, and since then: {', '.join(found)}; "
            "a run goes on with its own tasks: restore their file, or begin a new run with the model of its last "
            "checkpoint (model.path) and another --out"
        )
    if answers := [name for name, line in lines.items() if line["answer"] != before[name]["answer"]]:
        warn(
            f"{len(answers):,} of the tasks of {NAMES[part]} have other answers than when the run began "
            f"({few(map(repr, answers), 3)}); it goes on with the new ones"
        )
    if list(now) != list(before):
        warn(f"the tasks of {NAMES[part]} are in another order than when the run began; it keeps its own order")
    return tuple(now[name] for name in before)


def _line(task: Task) -> dict[str, str]:
    answers = [task.answer] if isinstance(task.answer, str) else list(task.answer)
    return {"id": task.id, "prompt": _hash(_asked(task)), "answer": _hash(answers)}


def _for_people(task: Task) -> dict[str, str]:
    text = task.conversation.strip()
    if len(text) > TEXT:
        text = f"{text[:TEXT].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    level = task.metadata.get("level")
    return {"text": text} | ({} if level is None else {"level": str(level)[:TEXT]})


def _asked(task: Task) -> list[str]:
    """The texts of a prompt; a turn of the user, with or without a system message, as earlier versions hashed it."""
    match [one["role"] for one in task.messages]:
        case [] | ["user"]:
            return [task.prompt]
        case ["system", "user"]:
            return [task.prompt, task.messages[0]["content"]]
        case _:
            return [one[part] for one in task.messages for part in ("role", "content")]


def _hash(texts: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()


def _saved(path: Path) -> list[Line] | None:
    """The lines of the file; None where there is none."""
    if not path.exists():
        return None
    try:
        with path.open(encoding="utf-8") as file:
            return [{name: str(line[name]) for name in KEYS} for line in map(json.loads, file)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunTasksError(
            f"{path} is damaged ({error}); restore it, or delete it to go on without a check of the tasks"
        ) from error
