"""Self-play seeds from a user's file of answers, for which the proposer will invent questions."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rekindle.notices import warn
from rekindle.tasks.fields import encodable, id_text, text_of
from rekindle.tasks.json_text import parse_json
from rekindle.tasks.task_set import TaskError, normalized_prompt, prompt_id
from rekindle.types import Task

__all__ = ["read_answers"]

PREFIX = "seed/"
EXAMPLES = 'e.g. "Paris" or {"answer": ["Paris", "City of Light"]}'
REMEDY = f"write {EXAMPLES}, or use a .txt file"


def read_answers(path: Path) -> tuple[Task, ...]:
    """Read the distinct answers of a file as seeds, in file order.

    In a ``.txt`` file every line is an answer. In a ``.jsonl`` file a line is a text, a number, or an object. The
    object's "answer" is a text, a number or a list of them, the best-known name first; "id" is optional, other fields
    are not read. Blank lines are skipped. Answers are normalised to Unicode NFC with single spaces. An answer whose
    first name occurred before is dropped, with one warning for the file.

    Returns:
        ``Task(f"seed/{id}", first name, answer, {"corpus": ""})``. id is the file's id or a hash of the first name;
        answer is a text for one name and a tuple for several.

    Raises:
        TaskError: The file cannot be read, a line is not an answer, or two answers share an id; the message has
            ``file:line``.
    """
    if path.suffix.lower() not in {".txt", ".jsonl"}:
        raise TaskError(f"{path}: answers come in a .txt file, one a line, or a .jsonl file; convert or rename it")
    is_json = path.suffix.lower() == ".jsonl"
    values = ((place, parse_json(line, place, REMEDY) if is_json else line) for place, line in _lines(path))
    seeds = _distinct(path, ((place, _seed(place, value)) for place, value in values))
    if not seeds:
        raise TaskError(f"{path} has no answers; write at least one, each on a line of its own")
    return seeds


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each non-blank line, stripped, with its place."""
    try:
        if not path.is_file():
            raise TaskError(f"there is no file {path}; give the path of a list of answers (task.path)")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if text := _decoded(f"{path}:{number}", line):
                    yield f"{path}:{number}", text
    except OSError as error:
        raise TaskError(
            f"cannot read {path} ({error.strerror or error}); check the file and its permissions"
        ) from error


def _decoded(place: str, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise TaskError(f"{place}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text") from error


def _seed(place: str, value: object) -> Task:
    fields: Mapping[str, object] = value if isinstance(value, dict) else {}
    names = _names(place, fields) if isinstance(value, dict) else (_name(place, value),)
    identity = prompt_id(names[0]) if fields.get("id") is None else id_text(place, "id", fields["id"])
    return Task(f"{PREFIX}{identity}", names[0], names[0] if len(names) == 1 else names, {"corpus": ""})


def _names(place: str, fields: Mapping[str, object]) -> tuple[str, ...]:
    """The distinct names of an answer."""
    if "answer" not in fields:
        raise TaskError(f'{place}: there is no "answer" (fields: {", ".join(fields) or "none"}); write {EXAMPLES}')
    value = fields["answer"]
    if value == []:
        raise TaskError(f'{place}: "answer" is an empty list; name at least one answer')
    return tuple(dict.fromkeys(_name(place, one) for one in (value if isinstance(value, list) else [value])))


def _name(place: str, value: object) -> str:
    text = text_of(value)
    if text is None:
        raise TaskError(f"{place}: an answer must be text or a number, not {value!r:.80}; write {EXAMPLES}")
    if not text.strip():
        raise TaskError(f"{place}: the answer is blank; fill it in or remove it")
    return normalized_prompt(encodable(place, text))


def _distinct(path: Path, seeds: Iterable[tuple[str, Task]]) -> tuple[Task, ...]:
    """Drop seeds whose first name occurred before; refuse a repeated id."""
    by_name: dict[str, Task] = {}
    places: dict[str, str] = {}
    repeated = contradicting = 0
    for place, seed in seeds:
        earlier = by_name.setdefault(seed.prompt, seed)
        if earlier is not seed:
            repeated += 1
            contradicting += earlier.answer != seed.answer
        elif (first := places.setdefault(seed.id, place)) != place:
            raise TaskError(
                f"{place}: id {seed.id.removeprefix(PREFIX)!r} is that of another answer at {first}; give every answer "
                "its own id"
            )
    if repeated:
        warn(
            f"{path}: {repeated} answers repeat an earlier one and were dropped, {contradicting} with other names",
            stacklevel=3,
        )
    return tuple(by_name.values())
