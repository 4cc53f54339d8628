"""Questions to evaluate on, in named sets, and which row of a pass is which."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rekindle.types import GroupRequest, Task, UserError

__all__ = ["EvaluationError", "QuestionSet", "all_tasks", "digests", "named_tasks", "request_for"]


class EvaluationError(UserError):
    """An evaluation cannot be made, kept or gone on with; the message says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A set with its name, e.g. ``QuestionSet("nq", tasks)``. Ids are unique within it."""

    name: str
    tasks: tuple[Task, ...]


def named_tasks(sets: Sequence[QuestionSet]) -> Iterator[tuple[str, Task]]:
    """``(name of the set, task)`` of every row of a pass over all sets."""
    return ((one.name, task) for one in sets for task in one.tasks)


def all_tasks(sets: Sequence[QuestionSet]) -> tuple[Task, ...]:
    """The task of every row."""
    return tuple(task for one in sets for task in one.tasks)


def digests(sets: Sequence[QuestionSet]) -> dict[str, str]:
    """Per set, 32 hexadecimal digits that change with every question, answer and order."""
    return {one.name: _digest(one.tasks) for one in sets}


def _digest(tasks: Sequence[Task]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for task in tasks:
        digest.update(json.dumps([task.id, task.prompt, task.answer]).encode() + b"\n")
    return digest.hexdigest()


def request_for(row: int, name: str, task: Task, *, samples: int, temperature: float, seed: int) -> GroupRequest:
    """Ask for a question's rollouts; their seed depends on ``seed``, the set's name and the question's id alone."""
    digest = hashlib.blake2b(json.dumps([seed, name, task.id]).encode(), digest_size=8).digest()
    own_seed = int.from_bytes(digest, "big") >> 1
    return GroupRequest(
        id=row, task_id=task.id, row=row, n=samples, temperature=temperature, seed=own_seed, version=0, step=0
    )
