"""What the tasks of a run ask, by id: from ``tasks.jsonl``, or from samples where a version wrote no texts there."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rekindle.observability.runs import Run

__all__ = ["PromptText", "prompt_texts", "sampled_texts"]


@dataclass(frozen=True, slots=True)
class PromptText:
    """The beginning of a prompt, untrusted, and its level; "" where there is none."""

    text: str
    level: str = ""


def prompt_texts(run: Run, ids: Collection[str]) -> dict[str, PromptText]:
    """Texts of the tasks with these ids, in one pass over the run's tasks; those without a text are left out.

    A line that is damaged is left out: resuming a run refuses it, a report only shows the id instead.
    """
    path = run.directory / "tasks.jsonl"
    found: dict[str, PromptText] = {}
    if not ids or not path.exists():
        return found
    with path.open("rb") as file:
        for line in file:
            task = _object(line)
            name, text = task.get("id"), task.get("text")
            if isinstance(name, str) and name in ids and isinstance(text, str):
                found.setdefault(name, PromptText(text, str(task.get("level") or "")))
    return found


def sampled_texts(lines: Iterable[Mapping[str, Any]]) -> dict[str, PromptText]:
    """Texts of the tasks of samples, by id."""
    return {str(line.get("task_id")): PromptText(str(line.get("prompt"))) for line in lines}


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
