"""The rule about keys that would not be read. A key counts as set when it differs from its default."""

import json
from collections.abc import Iterator

from rekindle.config.conditions import value_at
from rekindle.config.keys import keys_of
from rekindle.config.tables import Config

__all__ = ["unread_keys"]

CONDITIONAL = tuple((key, key.only, key.default) for key in keys_of(Config) if key.only is not None)
"""Keys with a condition, as (key, condition, default)."""


def unread_keys(config: Config) -> Iterator[str]:
    """A key that is set although its condition does not hold, as of a method that is switched off."""
    for key, condition, default in CONDITIONAL:
        value = value_at(config, key.path)
        if value != default and not condition.holds(config):
            otherwise = f"leave it at {json.dumps(default)}" if default not in (None, {}) else "remove it"
            yield f"{key.path} = {json.dumps(value)} would not be read; {condition.remedy(config)}, or {otherwise}"
