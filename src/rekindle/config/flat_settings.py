"""Nested settings as a flat table, by which runs and sweeps are compared."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["flat_settings"]


def flat_settings(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested tables by dotted key; lists of tables are numbered, what is empty or None is left out.

    ``{"train": {"steps": 8}, "rewards": [{"weight": 2}]}`` is ``{"train.steps": 8, "rewards[0].weight": 2}``.
    """
    return dict(_flat(tables, ""))


def _flat(tables: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
            for index, table in enumerate(value):
                yield from _flat(table, f"{name}[{index}].")
        elif value not in ([], (), None):
            yield name, value
