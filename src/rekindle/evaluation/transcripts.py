"""Every rollout as a line of JSON, written as it comes."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, all_tasks
from rekindle.evaluation.whole_file import replaced_whole

__all__ = ["transcripts_file", "write_transcripts"]

Entry = dict[str, Any]

HALF_PAIRS = "backslashreplace"
"""UTF-8 has no half surrogate pairs; written with a backslash, they are what JSON writes for them."""


@contextmanager
def transcripts_file(
    path: Path, sets: Sequence[QuestionSet], earlier: Iterable[Entry]
) -> Iterator[Callable[[Entry], None]]:
    """Write what is known already, and give a function that appends one question's rollouts.

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
            file.writelines(_lines(entry, tasks[entry["row"]].prompt, tasks[entry["row"]].answer))
            file.flush()

        for entry in earlier:
            add(entry)
        yield add


def write_transcripts(path: Path, sets: Sequence[QuestionSet], entries: Iterable[Entry]) -> None:
    """Write the whole file in the order of the questions, in place of the one that was written as they came.

    Raises:
        EvaluationError: It cannot be written.
    """
    tasks = all_tasks(sets)
    with (
        replaced_whole(path, EvaluationError, "choose another file for the transcripts") as partial,
        partial.open("w", encoding="utf-8", errors=HALF_PAIRS) as file,
    ):
        for entry in entries:
            file.writelines(_lines(entry, tasks[entry["row"]].prompt, tasks[entry["row"]].answer))


def _lines(entry: Entry, question: str, answers: str | Sequence[str]) -> Iterator[str]:
    """A line per rollout; a question without rollouts has one line without them, so that none is missing."""
    about = {
        "set": entry["set"],
        "id": entry["id"],
        "question": question,
        "answers": [answers] if isinstance(answers, str) else list(answers),
        "void": entry["void"],
    }
    for number, rollout in enumerate(entry["rollouts"]):
        yield json.dumps({**about, "rollout": number, **rollout}, ensure_ascii=False) + "\n"
    if not entry["rollouts"]:
        yield json.dumps(about, ensure_ascii=False) + "\n"
