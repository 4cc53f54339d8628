"""Tasks of another trainer's rows: their prompts and their ids.

A row's id is its own, where it has one. Elsewhere it is derived, as for rows of a file, so that a profile of these
fits: the hash of the prompt. Rows with the same prompt and other columns have a hash of all of them behind it. So an id
depends on its row and on rows of the same prompt only, and a prompt keeps its history when other rows come, go or move.
Equal rows are told apart by their order, ``...#2`` is the second one: they stay, because the other trainer has them as
well.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rekindle.tasks.fields import id_text
from rekindle.tasks.messages import Prompt
from rekindle.tasks.task_set import TaskError, conversation_id, prompt_key, task_id
from rekindle.types import Task

__all__ = ["derived_ids", "own_ids", "prompt_in"]

EXAMPLE = '{"role": "user", "content": "2+2="}'


def prompt_in(place: str, value: object) -> Prompt:
    """The prompt of a row: text, or messages in any order that a chat template takes.

    Args:
        place: Where the row is, for messages.
        value: Content of the column ``prompt``.

    Raises:
        TaskError: It is neither, or a message is not text.
    """
    if isinstance(value, str) and value.strip():
        return Prompt(value)
    if not isinstance(value, list) or not value or not all(isinstance(one, Mapping) for one in value):
        raise TaskError(
            f'{place}: "prompt" must be text or a list of messages like {EXAMPLE}, not {value!r:.80}; fix or remove '
            "the row"
        )
    messages = tuple(_message(place, one) for one in value)
    users = [one["content"] for one in messages if one["role"] == "user"]
    return Prompt(users[-1] if users else messages[-1]["content"], messages)


def _message(place: str, message: Mapping[str, object]) -> Mapping[str, str]:
    role, content = message.get("role"), message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    if not isinstance(role, str) or not all(isinstance(text, str) for text in texts):
        raise TaskError(
            f'{place}: "prompt" has the message {message!r:.80}, and rekindle trains on messages of text like '
            f"{EXAMPLE}; fix or remove the row"
        )
    return {"role": role, "content": "".join(map(str, texts))}


def own_ids(where: str, values: Sequence[object], remedy: str) -> list[str]:
    """The ids that rows have themselves, checked.

    Args:
        where: What has the rows, for messages.
        values: Id of every row.
        remedy: What else there is to do where two are equal.

    Raises:
        TaskError: An id is missing, neither text nor a whole number, or there twice.
    """
    found: dict[str, int] = {}
    for number, value in enumerate(values):
        name = id_text(f"row {number} of {where}", "id", value)
        if name in found:
            raise TaskError(
                f'rows {found[name]} and {number} of {where} have the same id "{name}"; make the ids unique, or '
                f"{remedy}"
            )
        found[name] = number
    return list(found)


def derived_ids(tasks: Sequence[Task]) -> list[str]:
    """Hashes of the prompts, with one of the other columns where these differ, and a number where rows are equal."""
    keys = [prompt_key(task) for task in tasks]
    names = dict(zip(keys, map(task_id, tasks), strict=True))
    same_text = Counter(names.values())
    names |= {key: conversation_id(task) for key, task in zip(keys, tasks, strict=True) if same_text[names[key]] > 1}
    rows_of = Counter(keys)
    others = [_hash(task.metadata) if rows_of[key] > 1 else "" for key, task in zip(keys, tasks, strict=True)]
    different = Counter(key for key, _ in dict.fromkeys(zip(keys, others, strict=True)))
    found = [
        names[key] if different[key] == 1 else f"{names[key]}-{other}" for key, other in zip(keys, others, strict=True)
    ]
    return list(_numbered(found))


def _numbered(names: list[str]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}#{seen[name]}"


def _hash(columns: Mapping[str, object]) -> str:
    """Hash of the canonical JSON of columns, 16 hexadecimal digits: the same in every run."""
    text = json.dumps(columns, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
