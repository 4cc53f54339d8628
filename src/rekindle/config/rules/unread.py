"""The rule about keys that would not be read. A key counts as set when it differs from its default."""

import json
from collections.abc import Iterator

from rekindle.config.conditions import value_at
from rekindle.config.keys import keys_of, lists_of
from rekindle.config.tables import Config

__all__ = ["unread_keys"]

CONDITIONAL = tuple((key, key.only, key.default) for key in keys_of(Config) if key.only is not None)
"""Keys with a condition, as (key, condition, default)."""
IN_LISTS = tuple(
    (name, key, key.only) for name, table in lists_of(Config) for key in keys_of(table) if key.only is not None
)
"""Keys with a condition of the tables in lists, with the name of the list."""


def unread_keys(config: Config) -> Iterator[str]:
    """A key that is set although its condition does not hold, as of a method that is switched off."""
    for key, condition, default in CONDITIONAL:
        value = value_at(config, key.path)
        if value != default and not condition.holds(config):
            yield _unread(key.path, value, default, condition.remedy(config))
    for name, key, condition in IN_LISTS:
        for index, table in enumerate(value_at(config, name)):
            value = value_at(table, key.path)
            if value != key.default and not condition.holds(table):
                yield _unread(f"{name}[{index}].{key.path}", value, key.default, condition.remedy(table))


def _unread(path: str, value: object, default: object, remedy: str) -> str:
    otherwise = f"leave it at {json.dumps(default)}" if default not in (None, {}) else "remove it"
    return f"{path} = {json.dumps(value)} would not be read; {remedy}, or {otherwise}"
