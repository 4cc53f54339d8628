"""The strict configuration model, and nothing that acts on it.

A configuration is TOML: ``recipe = "..."`` and the tables of ``tables``. Every key has a type, a bound, a default, a
description and the condition under which it is read (``keys``, ``conditions``); unknown keys, wrong types and
combinations that cannot work are refused with the key's path and the remedy (``reading``, ``rules``).
"""

from rekindle.config.flat_settings import flat_settings
from rekindle.config.reading import (
    ConfigError,
    complete,
    dump_toml,
    merge,
    parse_override,
    read_toml,
    renamed,
    validate,
)
from rekindle.config.rules import refusals
from rekindle.config.tables import Config

__all__ = [
    "Config",
    "ConfigError",
    "complete",
    "dump_toml",
    "flat_settings",
    "merge",
    "parse_override",
    "read_toml",
    "refusals",
    "renamed",
    "validate",
]
