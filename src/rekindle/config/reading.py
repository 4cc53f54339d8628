"""Reading, merging, validating and writing configurations: TOML files and overrides."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rekindle.choices import closest
from rekindle.config.keys import choice_problem, keys_of
from rekindle.config.rules import refusals
from rekindle.config.tables import Config
from rekindle.types import UserError

__all__ = ["ConfigError", "dump_toml", "merge", "parse_override", "read_toml", "validate"]

_KEYS = {key.path: key for key in keys_of(Config)}
FEW = 3
"""Most tables with a key of the same name for which an unknown key gets suggestions."""
MANY = 8
"""Most names that a message lists."""


class ConfigError(UserError):
    """An invalid configuration; the message has what is wrong, where, and the remedy."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file into nested dictionaries, without validation.

    Raises:
        ConfigError: The file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; give the path of a TOML file, e.g. examples/spell_backward.toml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); give the path of a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def parse_override(text: str) -> dict[str, Any]:
    """Turn ``train.steps=3`` into ``{"train": {"steps": 3}}``; a value that is not TOML is taken as a string.

    Raises:
        ConfigError: The text is not of the form key.sub=value.
    """
    key, sign, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not sign or not all(parts):
        raise ConfigError(f"--set {text}: expected key.sub=value, e.g. --set train.steps=100")
    try:
        nested: Any = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        nested = value.strip()
    for part in reversed(parts):
        nested = {part: nested}
    return dict(nested)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; ``over`` takes precedence key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def validate(values: Mapping[str, Any], where: str) -> Config:
    """Check values, bounds and combinations, and return the complete configuration.

    Raises:
        ConfigError: One line per problem: ``where``, the key's path, what is wrong, and the remedy.
    """
    try:
        config = Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors()]
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems)) from None
    if reasons := refusals(config):
        raise ConfigError("\n".join(f"{where}: {reason}" for reason in reasons))
    if (config.train.steps, config.train.rollouts, config.train.tokens) == (None, None, None):
        raise ConfigError(f"{where}: the run has no end; set train.steps, train.rollouts or train.tokens")
    return config


def dump_toml(config: Config) -> str:
    """The complete configuration as TOML; absent optional keys are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _problem(details: ErrorDetails) -> str:
    loc = details["loc"]
    path = ".".join(str(part) for part in loc)
    if details["type"] == "extra_forbidden":
        return f"{path}: unknown key{_instead_of(path)}"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "value_error":
        return message
    if details["type"] == "literal_error":
        message = choice_problem(details["input"], dict.fromkeys(_KEYS[path].choices))
    return f"{path} = {json.dumps(details['input'], default=str)}: {message[:1].lower()}{message[1:]}"


def _instead_of(path: str) -> str:
    """Suggestion for an unknown key: a key of that name in another table, or one with a similar name."""
    table, _, name = path.rpartition(".")
    elsewhere = [known for known in _KEYS if known.rpartition(".")[2] == name]
    if table and 1 <= len(elsewhere) <= FEW:
        return f"; did you mean {' or '.join(elsewhere)}?"
    siblings = _names_in(table)
    prefix = f"{table}." if table else ""
    if close := closest(name, siblings):
        return f"; did you mean {prefix}{close}?"
    if len(siblings) <= MANY:
        return f"; known keys: {', '.join(prefix + key for key in siblings)}"
    where = f"of [{table}]" if table else "and tables"
    return f"; docs/configuration.md lists the keys {where}"


def _names_in(table: str) -> list[str]:
    """Names of the keys and tables in a table, sorted; "" is the whole file."""
    depth = len(table.split(".")) if table else 0
    inside = (path.split(".") for path in _KEYS if not table or path.startswith(f"{table}."))
    return sorted({parts[depth] for parts in inside})
