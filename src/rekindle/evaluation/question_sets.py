"""Named sets of evaluation questions, and the order of their rows in a pass."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rekindle.types import GroupRequest, Task, UserError

__all__ = ["EvaluationError", "QuestionSet", "all_tasks", "digests", "named_tasks", "request_for"]


class EvaluationError(UserError):
    """An evaluation cannot be run, saved or resumed; the message gives the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A named set of questions, e.g. ``QuestionSet("nq", tasks)``. Ids are unique within a set."""

    name: str
    tasks: tuple[Task, ...]


def named_tasks(sets: Sequence[QuestionSet]) -> Iterator[tuple[str, Task]]:
    """``(set name, task)`` of every row of a pass over all sets."""
    return ((questions.name, task) for questions in sets for task in questions.tasks)


def all_tasks(sets: Sequence[QuestionSet]) -> tuple[Task, ...]:
    """The task of every row."""
    return tuple(task for questions in sets for task in questions.tasks)


def digests(sets: Sequence[QuestionSet]) -> dict[str, str]:
    """Digest of each set, 32 hexadecimal digits, over questions, answers and their order."""
    return {questions.name: _digest(questions.tasks) for questions in sets}


def _digest(tasks: Sequence[Task]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for task in tasks:
        earlier = [dict(one) for one in task.messages[:-1]]
        asked = [task.id, task.prompt, task.answer, *([earlier] if earlier else [])]
        digest.update(json.dumps(asked).encode() + b"\n")
    return digest.hexdigest()


def request_for(row: int, name: str, task: Task, *, samples: int, temperature: float, seed: int) -> GroupRequest:
    """The request for a question's rollouts; its seed depends on ``seed``, set name and question id alone."""
    digest = hashlib.blake2b(json.dumps([seed, name, task.id]).encode(), digest_size=8).digest()
    own_seed = int.from_bytes(digest, "big") >> 1
    return GroupRequest(
        id=row, task_id=task.id, row=row, n=samples, temperature=temperature, seed=own_seed, version=0, step=0
    )
