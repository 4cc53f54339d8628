"""Keys by dotted path: in nested tables, and in a configuration before its rules are checked."""

import json
from collections.abc import Mapping
from typing import Any

from rekindle.config import Config, merge
from rekindle.config.keys import keys_of

__all__ = ["CONDITIONS", "at", "draft", "is_read", "nested", "where_read", "without_condition"]

CONDITIONS = {key.path: key.only for key in keys_of(Config) if key.only is not None}
"""Condition of each key that is not always read."""


def at(values: Mapping[str, Any], path: str) -> Any:
    """The value of a path in tables; None where there is none."""
    inner: Any = values
    for part in path.split("."):
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return inner


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of values by path."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        inner: Any = value
        for part in reversed(path.split(".")):
            inner = {part: inner}
        found = merge(found, inner)
    return found


def draft(chosen: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    """The configuration of a recipe with further keys by path, before its rules are checked.

    Raises:
        ValidationError: A value is not valid.
    """
    values = merge(chosen, nested(given))
    return Config.model_validate_json(json.dumps(values, default=str))


def is_read(path: str, config: Config) -> bool:
    """Whether a key is read in a configuration."""
    return path not in CONDITIONS or CONDITIONS[path].holds(config)


def without_condition(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those keys by path that are always read."""
    return {path: value for path, value in asked.items() if path not in CONDITIONS}


def where_read(asked: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Those keys by path that are read in a configuration; None is no value."""
    return {path: value for path, value in asked.items() if value is not None and is_read(path, config)}
