"""One reader for the files of question-answering sets: NQ, TriviaQA, PopQA, HotpotQA and similar ones.

The format of a row is recognised from its fields, ignoring letter case:

    question        question, prompt, or query: text, or chat messages
    answers         golden_answers, answers, possible_answers, or answer: text, a number, a list, a list as JSON text
                    (PopQA), or an object with value and aliases (TriviaQA); further ones in answer_aliases (MuSiQue)
    id              id, _id, question_id, questionid, or idx; default: a hash of question and answers
    level           first of: level, hops, the hops in an id of MuSiQue ("3hop1__...": "3hop"), type, prop;
                    in the row or in its "metadata"
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from rekindle.notices import warn
from rekindle.tasks.fields import encodable, id_text, text_of
from rekindle.tasks.json_text import parse_json
from rekindle.tasks.messages import Prompt, prompt_of
from rekindle.tasks.rows import kind_of, read_rows
from rekindle.tasks.task_set import TaskError, prompt_id, prompt_key
from rekindle.types import Task

__all__ = ["has_question", "question_task", "read_questions"]

QUESTION = ("question", "prompt", "query")
ANSWERS = ("golden_answers", "answers", "possible_answers", "answer")
ALIASES = "answer_aliases"
IDS = ("id", "_id", "question_id", "questionid", "idx")
LEVELS = ("level", "hops")
KINDS = ("type", "prop")
IN_ANSWER = ("value", "aliases", "humananswers", "text")
"""Fields of an answer object with accepted texts. Normalised aliases are left out, as verifiers normalise."""
HOPS = re.compile(r"(\d+hop)\d*__")


def read_questions(path: Path) -> list[Task]:
    """Read the questions of one file, in file order; each task has its accepted answers as a tuple.

    The suffix decides the format: JSON (a list, TriviaQA's object with ``Data``, or lines), CSV or TSV with a header
    (PopQA), Parquet, and JSON lines for any other suffix. A row that repeats a question with the same answers is
    dropped, with one warning for the file. The same question with other answers stays.

    Raises:
        TaskError: The file or a row cannot be used, or two questions share an id; the message has the row's place.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    if not path.is_file():
        raise TaskError(f"there is no file {path}; give the path of a file with questions and answers")
    by_content: dict[tuple[str, frozenset[str]], Task] = {}
    places: dict[str, str] = {}
    repeated = 0
    for place, fields in read_rows(path, kind_of(path)):
        task = question_task(place, fields)
        earlier = by_content.setdefault((prompt_key(task), frozenset(task.answer)), task)
        if earlier is not task:
            repeated += 1
        elif (first := places.setdefault(task.id, place)) != place:
            raise TaskError(
                f"{place}: id {task.id!r} is that of another question at {first}; give every question its own id"
            )
    if not by_content:
        raise TaskError(f"{path} has no rows; give a file with at least one question")
    if repeated:
        warn(f"{path}: {repeated} rows repeat an earlier question and its answers; dropped", stacklevel=2)
    return list(by_content.values())


# -- one row -----------------------------------------------------------------------------------------------------------


def has_question(fields: Mapping[str, object]) -> bool:
    """Whether a row has a question and answers under any of the field names above."""
    row = _lowered(fields)
    return _first(row, QUESTION) is not None and _first(row, ANSWERS) is not None


def question_task(place: str, fields: Mapping[str, object]) -> Task:
    """The task of one row, with the accepted answers as a tuple.

    All fields but the question become metadata, and so do texts, numbers and booleans of an inner "metadata".

    Raises:
        TaskError: The row cannot be used; the message begins with ``place``.
    """
    row = _lowered(fields)
    name, question = _question(place, row)
    answers = _answers(place, row)
    task = Task("", question.text, answers, messages=question.messages)
    identity = _id(place, row, prompt_key(task), answers)
    inner = row.get("metadata")
    nested = _lowered(inner) if isinstance(inner, dict) else {}
    level = _level(row, identity) or _level(nested, identity)
    used = {name, "level"}
    metadata: dict[str, object] = {
        **{inner: value for inner, value in nested.items() if isinstance(value, str | int | float)},
        **{str(column): value for column, value in fields.items() if str(column).strip().lower() not in used},
    }
    metadata.pop("level", None)
    return replace(task, id=identity, metadata={**metadata, "level": level} if level else metadata)


def _lowered(fields: Mapping[str, object]) -> dict[str, object]:
    return {str(name).strip().lower(): value for name, value in fields.items()}


def _first(row: Mapping[str, object], names: Iterable[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def _question(place: str, row: Mapping[str, object]) -> tuple[str, Prompt]:
    """Column and content of the question."""
    name = _first(row, QUESTION)
    if name is None:
        raise TaskError(f'{place}: there is no "question" (fields: {", ".join(row) or "none"}); add it')
    value = row[name]
    if not isinstance(value, list) and (not isinstance(value, str) or not value.strip()):
        raise TaskError(f'{place}: "{name}" must be text, not {value!r:.80}; fix or remove the row')
    return name, prompt_of(place, name, value)


def _answers(place: str, row: Mapping[str, object]) -> tuple[str, ...]:
    """Distinct accepted answers, in order; blank ones are left out where there are others."""
    name = _first(row, ANSWERS)
    if name is None:
        raise TaskError(f'{place}: there is no "answer" or "golden_answers" (fields: {", ".join(row)}); add one')
    values = [*_texts(place, name, row[name]), *_texts(place, ALIASES, row.get(ALIASES) or [])]
    found = tuple(dict.fromkeys(encodable(place, value) for value in values if value.strip()))
    if not found:
        raise TaskError(f'{place}: "{name}" has no answer in it; without one nothing can be verified')
    return found


def _texts(place: str, name: str, value: object) -> list[str]:
    """The texts of an answer given as text, number, list, JSON text or object."""
    match value:
        case str() if name not in {"answer", ALIASES} and value.lstrip().startswith("["):
            return _texts(place, name, parse_json(value, f'{place}: "{name}"', 'write e.g. ["Paris", "City of Paris"]'))
        case list():
            return [text for one in value for text in _texts(place, name, one)]
        case dict() if _first(parts := _lowered(value), IN_ANSWER):
            return [text for part in IN_ANSWER if part in parts for text in _texts(place, name, parts[part])]
    if (text := text_of(value)) is not None:
        return [text]
    raise TaskError(f'{place}: "{name}" must be text, a number or a list of these, not {value!r:.80}; fix the row')


def _id(place: str, row: Mapping[str, object], key: str, answers: tuple[str, ...]) -> str:
    name = _first(row, IDS)
    if name is None:
        return prompt_id(json.dumps([key, *sorted(answers)]))
    return id_text(place, name, row[name])


def _level(row: Mapping[str, object], identity: str) -> str | None:
    """The level or type of a question, for results per level."""
    hops = HOPS.match(identity)
    found = _first(row, LEVELS) or (None if hops else _first(row, KINDS))
    if found is None:
        return hops[1] if hops else None
    value = row[found]
    return str(value) if isinstance(value, str | int) and str(value).strip() else None
