"""One reader for the files of question-answering sets: NQ, TriviaQA, PopQA, HotpotQA and similar ones.

The format of a row is recognised from its fields, ignoring letter case:

    question        question, prompt, or query
    answers         golden_answers, answers, possible_answers, or answer: text, a number, a list, a list as JSON text
                    (PopQA), or an object with value and aliases (TriviaQA); further ones in answer_aliases (MuSiQue)
    id              id, _id, question_id, questionid, or idx; default: a hash of question and answers
    level           first of: level, hops, the hops in an id of MuSiQue ("3hop1__...": "3hop"), type, prop;
                    in the row or in its "metadata"
"""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rekindle.notices import warn
from rekindle.tasks.fields import id_text, text_of
from rekindle.tasks.rows import PlacedRow, read_rows
from rekindle.tasks.task_set import TaskError, normalized_prompt, prompt_id
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
LONG_FIELD = 2**31 - 1


def read_questions(path: Path) -> list[Task]:
    """Read the questions of one file, in file order; each task has its accepted answers as a tuple.

    The suffix decides the format: JSON (a list, TriviaQA's object with ``Data``, or lines), TSV with a header (PopQA),
    Parquet, and JSON lines for any other suffix. A row that repeats a question with the same answers is dropped, with
    one warning for the file. The same question with other answers stays.

    Raises:
        TaskError: The file or a row cannot be used, or two questions share an id; the message has the row's place.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    if not path.is_file():
        raise TaskError(f"there is no file {path}; give the path of a file with questions and answers")
    by_content: dict[tuple[str, frozenset[str]], Task] = {}
    places: dict[str, str] = {}
    repeated = 0
    for place, fields in _rows(path):
        task = question_task(place, fields)
        earlier = by_content.setdefault((normalized_prompt(task.prompt), frozenset(task.answer)), task)
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


# -- rows --------------------------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[PlacedRow]:
    match path.suffix.lower():
        case ".tsv":
            return _tsv_rows(path)
        case ".json":
            return _json_rows(path)
        case suffix:
            return read_rows(path, parquet=suffix == ".parquet")


def _tsv_rows(path: Path) -> Iterator[PlacedRow]:
    csv.field_size_limit(min(sys.maxsize, LONG_FIELD))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            for fields in rows:
                if None in fields or None in fields.values():
                    raise TaskError(
                        f"{path}:{rows.line_num}: the line does not have {len(rows.fieldnames or ())} fields like the "
                        "header; write one tab between fields"
                    )
                yield f"{path}:{rows.line_num}", fields
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is not UTF-8 (byte {error.start + 1}); save it as UTF-8 text") from error


def _json_rows(path: Path) -> Iterator[PlacedRow]:
    """Yield the items of a JSON list; a file that is not one JSON value is read as JSON lines."""
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        yield from read_rows(path, parquet=False)
        return
    if isinstance(value, dict):
        value = _lowered(value).get("data", [value])
    if not isinstance(value, list):
        raise TaskError(f"{path}: expected a list of questions, found {type(value).__name__}; write a JSON list")
    for number, fields in enumerate(value, start=1):
        if not isinstance(fields, dict):
            raise TaskError(
                f"{path} item {number}: expected a JSON object, found {type(fields).__name__}; write one per question"
            )
        yield f"{path} item {number}", fields


# -- one row -----------------------------------------------------------------------------------------------------------


def has_question(fields: Mapping[str, object]) -> bool:
    """Whether a row has a question and answers under any of the field names above."""
    row = _lowered(fields)
    return _first(row, QUESTION) is not None and _first(row, ANSWERS) is not None


def question_task(place: str, fields: Mapping[str, object]) -> Task:
    """The task of one row, with the accepted answers as a tuple.

    Other fields that are text, numbers or booleans become metadata; contexts do not.

    Raises:
        TaskError: The row cannot be used; the message begins with ``place``.
    """
    row = _lowered(fields)
    question = _question(place, row)
    answers = _answers(place, row)
    identity = _id(place, row, question, answers)
    inner = row.get("metadata")
    nested = _lowered(inner) if isinstance(inner, dict) else {}
    level = _level(row, identity) or _level(nested, identity)
    used = {*QUESTION, *ANSWERS, *IDS, ALIASES, "level"}
    metadata: dict[str, object] = {
        name: value
        for name, value in {**nested, **row}.items()
        if name not in used and isinstance(value, str | int | float)
    }
    return Task(identity, question, answers, {**metadata, "level": level} if level else metadata)


def _lowered(fields: Mapping[str, object]) -> dict[str, object]:
    return {str(name).strip().lower(): value for name, value in fields.items()}


def _first(row: Mapping[str, object], names: Iterable[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def _question(place: str, row: Mapping[str, object]) -> str:
    name = _first(row, QUESTION)
    if name is None:
        raise TaskError(f'{place}: there is no "question" (fields: {", ".join(row) or "none"}); add it')
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise TaskError(f'{place}: "{name}" must be text, not {value!r}; fix or remove the row')
    return _encodable(place, value)


def _answers(place: str, row: Mapping[str, object]) -> tuple[str, ...]:
    """Distinct accepted answers, in order; blank ones are left out where there are others."""
    name = _first(row, ANSWERS)
    if name is None:
        raise TaskError(f'{place}: there is no "answer" or "golden_answers" (fields: {", ".join(row)}); add one')
    values = [*_texts(place, name, row[name]), *_texts(place, ALIASES, row.get(ALIASES) or [])]
    found = tuple(dict.fromkeys(_encodable(place, value) for value in values if value.strip()))
    if not found:
        raise TaskError(f'{place}: "{name}" has no answer in it; without one nothing can be verified')
    return found


def _texts(place: str, name: str, value: object) -> list[str]:
    """The texts of an answer given as text, number, list, JSON text or object."""
    match value:
        case str() if name not in {"answer", ALIASES} and value.lstrip().startswith("["):
            return _texts(place, name, _parsed(place, name, value))
        case list():
            return [text for one in value for text in _texts(place, name, one)]
        case dict() if _first(parts := _lowered(value), IN_ANSWER):
            return [text for part in IN_ANSWER if part in parts for text in _texts(place, name, parts[part])]
    if (text := text_of(value)) is not None:
        return [text]
    raise TaskError(f'{place}: "{name}" must be text, a number or a list of these, not {value!r:.80}; fix the row')


def _parsed(place: str, name: str, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TaskError(
            f'{place}: "{name}" is no JSON list ({error.msg}); write e.g. ["Paris", "City of Paris"]'
        ) from error


def _encodable(place: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TaskError(f"{place}: {text!r:.80} has half of a surrogate pair; fix or remove the row") from error
    return text


def _id(place: str, row: Mapping[str, object], question: str, answers: tuple[str, ...]) -> str:
    name = _first(row, IDS)
    if name is None:
        return prompt_id(json.dumps([normalized_prompt(question), *sorted(answers)]))
    return _encodable(place, id_text(place, name, row[name]))


def _level(row: Mapping[str, object], identity: str) -> str | None:
    """The level or type of a question, for results per level."""
    hops = HOPS.match(identity)
    found = _first(row, LEVELS) or (None if hops else _first(row, KINDS))
    if found is None:
        return hops[1] if hops else None
    value = row[found]
    return str(value) if isinstance(value, str | int) and str(value).strip() else None
