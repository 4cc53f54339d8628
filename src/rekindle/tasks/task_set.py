"""The pool to train on and the held-out prompts to evaluate on, kept disjoint."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rekindle.types import Task, UserError

__all__ = [
    "TaskError",
    "TaskSet",
    "conversation_id",
    "hash_rank",
    "levels_of",
    "normalized_prompt",
    "prompt_id",
    "prompt_key",
    "refuse_unknown",
    "split",
    "task_id",
]


class TaskError(UserError):
    """Tasks cannot be read or generated; the message gives the cause, the place and the remedy."""


_LEVEL = re.compile(r"(\d{1,3})(?:hop)?")


@dataclass(frozen=True, slots=True)
class TaskSet:
    """The tasks of a run.

    Attributes:
        pool: Prompts to train on; at least one.
        held_out: Prompts to evaluate on.
        commit: Commit of the data set on the hub that they are from; None elsewhere.

    Raises:
        TaskError: The pool is empty, or an id or a normalised prompt occurs twice in pool and held-out together.
    """

    pool: tuple[Task, ...]
    held_out: tuple[Task, ...]
    commit: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.pool:
            raise TaskError("the pool has no prompts, so there is nothing to train on; give a source with more prompts")
        ids: set[str] = set()
        prompts: dict[str, str] = {}
        for task in (*self.pool, *self.held_out):
            if task.id in ids:
                raise TaskError(f"the task id {task.id!r} is used twice; ids are unique in pool and held-out together")
            ids.add(task.id)
            other = prompts.setdefault(prompt_key(task), task.id)
            if other != task.id:
                raise TaskError(f"tasks {other!r} and {task.id!r} have the same prompt; remove one before splitting")


def refuse_unknown(params: Iterable[str], known: Sequence[str], source: str) -> None:
    """Refuse names in ``task.params`` that a generator does not take.

    Raises:
        TaskError: There is one.
    """
    for name in params:
        if name not in known:
            raise TaskError(f"task.params has no {name!r} for {source}; it takes {', '.join(known)}")


def levels_of(tasks: Sequence[Task]) -> list[int]:
    """Level of each task, ``metadata["level"]``: 1, 2, ... or "2hop"; empty unless every task has one."""
    levels = [_LEVEL.fullmatch(str(task.metadata.get("level"))) for task in tasks]
    return [int(level[1]) for level in levels if level] if all(levels) else []


def normalized_prompt(prompt: str) -> str:
    """The prompt in Unicode NFC with single spaces; prompts with equal results count as the same."""
    return " ".join(unicodedata.normalize("NFC", prompt).split())


def prompt_id(prompt: str) -> str:
    """Hash of the normalised prompt, 16 hexadecimal digits: the same id in every run."""
    return hashlib.blake2b(normalized_prompt(prompt).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def prompt_key(task: Task) -> str:
    """Equal for tasks with the same prompt: the normalised text, or all messages with their roles."""
    if len(task.messages) < 2:
        return normalized_prompt(task.prompt)
    return json.dumps([[one["role"], normalized_prompt(one["content"])] for one in task.messages])


def task_id(task: Task) -> str:
    """Id of a task whose row has none: ``prompt_id`` of the text, or of a conversation of several turns as a whole.

    A system message before a single turn does not count; ``conversation_id`` tells such prompts apart.
    """
    return prompt_id(_hashed(task))


def conversation_id(task: Task) -> str:
    """Hash of the whole prompt, system message included."""
    return prompt_id(prompt_key(task))


def _hashed(task: Task) -> str:
    """The text that decides on id and rank of a task."""
    turns = [one for one in task.messages if one["role"] != "system"]
    return task.prompt if len(turns) < 2 else prompt_key(task)


def hash_rank(tasks: Sequence[Task], seed: int) -> list[int]:
    """Indices of ``tasks`` in the order of a seeded hash of their prompts.

    The order depends on prompts and seed alone, so adding or moving rows hardly changes which prompts come first.
    """
    return sorted(range(len(tasks)), key=lambda index: prompt_id(f"{seed} {_hashed(tasks[index])}"))


def split(tasks: Iterable[Task], held_out: int, pool_size: int | None, seed: int, source: str) -> TaskSet:
    """Split deduplicated tasks by the seeded hash of their prompts; both parts keep the order of the tasks.

    Args:
        tasks: Tasks with distinct prompts.
        held_out: Prompts to hold out.
        pool_size: Most prompts to keep of the rest; None keeps all.
        seed: Chooses the split.
        source: Name of the source, for the message.

    Raises:
        TaskError: Nothing would be left for the pool.
    """
    tasks = list(tasks)
    if len(tasks) <= held_out:
        raise TaskError(
            f"{source} has {len(tasks)} distinct prompts and eval.prompts = {held_out} would leave none to train on; "
            "lower eval.prompts, or give more prompts"
        )
    order = hash_rank(tasks, seed)
    end = len(tasks) if pool_size is None else held_out + pool_size
    parts = (sorted(order[held_out:end]), sorted(order[:held_out]))
    pool, held = (tuple(tasks[index] for index in part) for part in parts)
    return TaskSet(pool, held)
