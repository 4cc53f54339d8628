"""Transcripts: every rollout as a line of JSON, written as it arrives."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rekindle.evaluation.atomic_write import atomic_write
from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, all_tasks
from rekindle.types import Task

__all__ = ["transcripts_file", "write_transcripts"]

Entry = dict[str, Any]

HALF_PAIRS = "backslashreplace"
"""UTF-8 cannot encode lone surrogates; with a backslash they become their JSON escapes."""


@contextmanager
def transcripts_file(
    path: Path, sets: Sequence[QuestionSet], earlier: Iterable[Entry]
) -> Iterator[Callable[[Entry], None]]:
    """Write the earlier entries, and yield a function that appends one question's rollouts.

    Raises:
        EvaluationError: The file cannot be written.
    """
    tasks = all_tasks(sets)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8", errors=HALF_PAIRS)
    except OSError as error:
        raise EvaluationError(
            f"{path} cannot be written ({error.strerror or error}); choose another file for the transcripts"
        ) from error
    with file:

        def add(entry: Entry) -> None:
            file.writelines(_lines(entry, tasks[entry["row"]]))
            file.flush()

        for entry in earlier:
            add(entry)
        yield add


def write_transcripts(path: Path, sets: Sequence[QuestionSet], entries: Iterable[Entry]) -> None:
    """Write the file sorted by question, replacing the one in order of arrival.

    Raises:
        EvaluationError: The file cannot be written.
    """
    tasks = all_tasks(sets)
    with (
        atomic_write(path, EvaluationError, "choose another file for the transcripts") as partial,
        partial.open("w", encoding="utf-8", errors=HALF_PAIRS) as file,
    ):
        for entry in entries:
            file.writelines(_lines(entry, tasks[entry["row"]]))


def _lines(entry: Entry, task: Task) -> Iterator[str]:
    """One line per rollout; a question without rollouts has one line too, so that none is missing."""
    about = {
        "set": entry["set"],
        "id": entry["id"],
        "question": task.prompt,
        **({"messages": [dict(one) for one in task.messages]} if task.messages else {}),
        "answers": [task.answer] if isinstance(task.answer, str) else list(task.answer),
        "void": entry["void"],
    }
    for number, rollout in enumerate(entry["rollouts"]):
        yield json.dumps({**about, "rollout": number, **rollout}, ensure_ascii=False) + "\n"
    if not entry["rollouts"]:
        yield json.dumps(about, ensure_ascii=False) + "\n"
