"""Generates reasoning-gym's data sets and entries. Run as a module, the child process of ``tasks.reasoning_gym``.

Reads ``{"name": ..., "params": {...}}`` from standard input and writes ``{"entries": [...]}`` or ``{"error": ...}``
to standard output.
"""

import ast
import dataclasses
import difflib
import json
import os
import random
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from rekindle.tasks.task_set import TaskError

__all__ = ["Dataset", "generate_entries", "make_dataset", "make_entry"]

UNMAKEABLE = (ValueError, ArithmeticError, LookupError, RuntimeError)
"""Exceptions of generators at an index without a puzzle."""


class Dataset(Protocol):
    """The part of reasoning-gym's data set interface that is used here."""

    seed: int

    def __len__(self) -> int:
        """Number of entries."""
        ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Entry with ``question``, ``answer`` and ``metadata``."""
        ...

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        """Score of an answer, nearly always in [0, 1]."""
        ...


def make_dataset(name: str, params: Mapping[str, object]) -> Dataset:
    """Create one of reasoning-gym's data sets.

    Args:
        name: Its registered name.
        params: Fields of its configuration. Lists become tuples, tables become the parts of ``composite``.

    Raises:
        TaskError: The name or a parameter is unknown, or the data set refuses a value.
    """
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise TaskError(f"reasoning_gym has no data set {name!r}{_nearest(name, DATASETS)}; correct task.name")
    known = {field.name: field for field in dataclasses.fields(DATASETS[name][1])}
    for key in params:
        if key not in known:
            raise TaskError(
                f"reasoning_gym {name} has no parameter {key!r}{_nearest(key, known)}; it takes {', '.join(known)}"
            )
    try:
        dataset: Dataset = reasoning_gym.create_dataset(
            name, **{key: _typed(value, known[key]) for key, value in params.items()}
        )
    except (AssertionError, ValueError, TypeError, LookupError) as error:
        raise TaskError(f"reasoning_gym {name} refuses its parameters: {error}; correct task.params") from error
    return dataset


def make_entry(dataset: Dataset, index: int) -> dict[str, Any]:
    """Generate one entry. With fixed string hashes it depends on the data set's parameters and ``index`` alone.

    A few generators draw from Python's global random state, which is seeded here.
    """
    random.seed(f"{dataset.seed} {index}")
    return dataset[index]


def generate_entries(name: str, params: Mapping[str, object]) -> list[dict[str, Any]]:
    """Generate the ``size`` entries of a data set in the format of ``tasks_from_entries``.

    An index for which the generator finds no puzzle is left out.

    Raises:
        TaskError: As for ``make_dataset``, or no index gives an entry.
    """
    dataset = make_dataset(name, params)
    entries, reason = [], ""
    for index in range(len(dataset)):
        try:
            entries.append(_portable(index, make_entry(dataset, index)))
        except UNMAKEABLE as error:
            reason = f"{type(error).__name__}: {error}"
    if not entries:
        raise TaskError(f"reasoning_gym {name} makes no entry with these parameters ({reason}); change task.params")
    return entries


def _portable(index: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    answer = entry["answer"]
    text = None if answer is None else str(answer)
    return {"index": index, "question": entry["question"], "answer": text, "entry": _literal(entry)}


def _literal(entry: Mapping[str, Any]) -> str | None:
    """The entry as a Python literal; None where that is not lossless. JSON would lose tuples, sets and number keys."""
    text = repr(entry)
    try:
        return text if ast.literal_eval(text) == entry else None
    except (ValueError, SyntaxError):
        return None


def _typed(value: object, field: "dataclasses.Field[Any]") -> object:
    """Convert a TOML value to the declared type: TOML has neither tuples nor data classes."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(part, dict) and {"name", "weight"} <= part.keys() for part in value)
    ):
        from reasoning_gym.composite import DatasetSpec

        return [DatasetSpec(**{"config": {}, **part}) for part in value]
    return tuple(value) if isinstance(value, list) and isinstance(field.default, tuple) else value


def _nearest(word: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def main() -> None:
    """Answer one request. Output printed by generators goes to standard error."""
    result_file = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    try:
        result: dict[str, object] = {"entries": generate_entries(request["name"], request["params"])}
    except TaskError as error:
        result = {"error": str(error)}
    with os.fdopen(result_file, "w", encoding="utf-8") as out:
        json.dump(result, out)


if __name__ == "__main__":
    main()
