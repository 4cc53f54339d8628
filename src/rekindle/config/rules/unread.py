"""Keys that nothing would read. A key counts as set when it differs from its default."""

import json
from collections.abc import Iterator

from rekindle.config.conditions import value_at
from rekindle.config.keys import keys_of
from rekindle.config.tables import Config

__all__ = ["unread_keys"]

CONDITIONAL = tuple((key, key.only, key.default) for key in keys_of(Config) if key.only is not None)
"""Keys that are not always read, their conditions and their defaults."""


def unread_keys(config: Config) -> Iterator[str]:
    """A setting of a method that is not switched on: a key whose condition does not hold."""
    for key, condition, default in CONDITIONAL:
        value = value_at(config, key.path)
        if value != default and not condition.holds(config):
            otherwise = f"leave it at {json.dumps(default)}" if default not in (None, {}) else "remove it"
            yield f"{key.path} = {json.dumps(value)} would not be read; {condition.remedy(config)}, or {otherwise}"
