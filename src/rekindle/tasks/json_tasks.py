"""Tasks as JSON values and back: in the state of self-play, and on their way to other processes."""

from collections.abc import Mapping
from typing import Any

from rekindle.types import Task

__all__ = ["task_from_json", "task_to_json"]


def task_to_json(task: Task) -> dict[str, Any]:
    """The task as JSON values, where its metadata are."""
    found: dict[str, Any] = {
        "id": task.id,
        "prompt": task.prompt,
        "answer": task.answer if isinstance(task.answer, str) else list(task.answer),
        "metadata": dict(task.metadata),
    }
    return found | {"messages": [dict(one) for one in task.messages]} if task.messages else found


def task_from_json(value: Mapping[str, Any]) -> Task:
    """The task of ``task_to_json``."""
    answer = value["answer"]
    return Task(
        value["id"],
        value["prompt"],
        answer if isinstance(answer, str) else tuple(answer),
        value["metadata"],
        tuple(value.get("messages", ())),
    )
