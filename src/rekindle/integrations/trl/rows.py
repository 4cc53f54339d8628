"""Tasks of the rows of a ``datasets.Dataset``, by duck typing: a length, rows by number, and names of columns.

A row's id is its column ``id``. Elsewhere it is derived, as for rows of a file, so that a profile of these fits: the
hash of the prompt. Rows with the same prompt and other columns have a hash of all of them behind it. So an id depends
on its row and on rows of the same prompt only, and a prompt keeps its history when other rows come, go or move. Equal
rows are told apart by their order, ``...#2`` is the second one: they stay, because TRL trains on all rows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rekindle.choices import few
from rekindle.tasks.columns import answer_of
from rekindle.tasks.fields import id_text, text_of
from rekindle.tasks.messages import Prompt
from rekindle.tasks.task_set import TaskError, conversation_id, prompt_key, task_id
from rekindle.types import Task

__all__ = ["tasks_of"]

IMAGES = ("image", "images")
"""Columns that TRL reads images from."""
WHERE = "train_dataset"
EXAMPLE = '{"role": "user", "content": "2+2="}'


def tasks_of(dataset: Any) -> list[Task]:
    """The tasks of a dataset's rows, in order; ``task.metadata`` has the columns except the prompt.

    Raises:
        TaskError: There is no dataset, it is a stream, empty or without prompts, it has images, or ids are not unique.
    """
    _check(dataset)
    rows = [dict(row) for row in dataset]
    prompts = [_prompt(f"row {number} of {WHERE}", row) for number, row in enumerate(rows)]
    tasks = [
        Task("", prompt.text, _answer(row), _others(row), prompt.messages)
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    ids = _own_ids(rows) if any(row.get("id") is not None for row in rows) else _derived_ids(tasks)
    return [replace(task, id=name) for task, name in zip(tasks, ids, strict=True)]


def _others(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "prompt"}


def _answer(row: Mapping[str, object]) -> str:
    """The reference answer for samples and reports; "" where there is none. Rewards read columns."""
    return text_of(answer_of("", row, needed=False)) or ""


def _check(dataset: Any) -> None:
    if dataset is None:
        raise TaskError(
            f"{WHERE} is None, and an environment that owns the prompts gives rekindle none to choose from; give a "
            "dataset with a row per prompt"
        )
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TaskError(
            f"{WHERE} is a {type(dataset).__name__}, a stream without length, and rekindle chooses among all prompts; "
            "load it whole (load_dataset without streaming=True, or Dataset.from_generator)"
        )
    if not len(dataset):
        raise TaskError(f"{WHERE} has no rows, so there is nothing to train on; give one with prompts")
    columns = list(getattr(dataset, "column_names", None) or dataset[0])
    if found := [name for name in IMAGES if name in columns]:
        raise TaskError(
            f'{WHERE} has images (column "{found[0]}"), and rekindle trains on text; remove the column, or train '
            "with TRL's own GRPOTrainer"
        )
    if "prompt" not in columns:
        raise TaskError(f'{WHERE} has no column "prompt" (columns: {few(columns)}); rename the one with the prompts')


def _prompt(place: str, row: Mapping[str, object]) -> Prompt:
    """The prompt of a row: text, or messages in any order that a chat template takes, as TRL renders them."""
    value = row["prompt"]
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


def _own_ids(rows: list[dict[str, Any]]) -> list[str]:
    """The column ``id``, checked."""
    found: dict[str, int] = {}
    for number, row in enumerate(rows):
        name = id_text(f"row {number} of {WHERE}", "id", row.get("id"))
        if name in found:
            raise TaskError(
                f'rows {found[name]} and {number} of {WHERE} have the same id "{name}"; make the ids unique, or remove '
                "the column"
            )
        found[name] = number
    return list(found)


def _derived_ids(tasks: list[Task]) -> list[str]:
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
