"""Reading, merging, validating and writing configurations: TOML files and overrides."""

import codecs
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rekindle.choices import MANY, closest
from rekindle.config.defaults import with_cases
from rekindle.config.keys import choice_problem, keys_of, lists_of
from rekindle.config.other_names import EARLIER, ELSEWHERE, leaves, meaning_of
from rekindle.config.rules import refusals
from rekindle.config.tables import Config
from rekindle.notices import warn
from rekindle.types import UserError

__all__ = ["ConfigError", "complete", "dump_toml", "merge", "parse_override", "read_toml", "renamed", "validate"]

_KEYS = {key.path: key for key in keys_of(Config)} | {
    f"{name}.{key.path}": key for name, table in lists_of(Config) for key in keys_of(table)
}
"""All keys by path; those of the tables in a list without their number."""
_TABLES = {name for name, _ in lists_of(Config)}
FEW = 3
"""Most tables with a key of the same name for which an unknown key gets suggestions."""
LARGEST = 2**63 - 1
"""Of whole numbers: TOML's bound, and that of the libraries that read them."""
YAML = (".yaml", ".yml")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class ConfigError(UserError):
    """An invalid configuration; the message has what is wrong, where, and the remedy."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file into nested dictionaries, without validation; earlier names become those of today.

    Raises:
        ConfigError: The file is missing, unreadable or not TOML.
    """
    try:
        return renamed(_parsed(path.read_bytes(), path), str(path))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; give the path of a TOML file, e.g. examples/spell_backward.toml"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error}); give the path of a TOML file") from None


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    if content.startswith(UTF_16):
        raise ConfigError(f"{path} is UTF-16 text; save it as UTF-8")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numbers of thousands of digits
        if path.suffix.lower() in YAML:
            raise ConfigError(
                f"{path} is YAML, and a configuration is TOML: write `train:` as `[train]`, and `steps: 3` as `steps "
                "= 3`"
            ) from None
        why = error if isinstance(error, tomllib.TOMLDecodeError) else _unreadable(error)
        raise ConfigError(f"{path} is not valid TOML: {why}") from None


def _unreadable(error: Exception) -> str:
    """Why text in the right form cannot be read all the same."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number has thousands of digits"


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
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--set {key}: {_unreadable(error)}") from None
    for part in reversed(parts):
        nested = {part: nested}
    return renamed(dict(nested), f"--set {key}")


def renamed(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same values with earlier names replaced by those of today, each with a warning.

    Raises:
        ConfigError: A key is given under both names.
    """
    values = dict(values)
    for earlier, key in EARLIER.items():
        (before, old), (table, name) = earlier.split("."), key.split(".")
        source = values.get(before)
        if not isinstance(source, dict) or old not in source:
            continue
        target = values.get(table, {})
        if not isinstance(target, dict) or name in target:
            raise ConfigError(f"{where}: {earlier} is the earlier name of {key}, which is set too; remove {earlier}")
        warn(f"{where}: {earlier} is now {key} and is read as such; rename it", stacklevel=3)
        values = {**values, before: {one: value for one, value in source.items() if one != old}}
        values[table] = {**values.get(table, {}), name: source[old]}
        if not values[before]:
            del values[before]
    return values


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; ``over`` takes precedence key by key.

    An empty table changes nothing. An empty value of a setting (``task.params={}``) replaces what was there.
    """
    return _merged(base, over, is_value=False)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any], *, is_value: bool) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        empties = is_value and not value
        merged[key] = _merged(merged[key], value, is_value=True) if both and not empties else value
    return merged


def complete(values: Mapping[str, Any], given: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the defaults that depend on the model and the machine (``defaults``).

    Args:
        values: Nested settings.
        given: Those that the file, the recipe or the command line chose.
        saved: Settings of the run that is resumed; empty for a new run.

    Settings that are not valid are returned as they are, and ``validate`` says what is wrong with them.
    """
    try:
        return with_cases(_KEYS.values(), values, given, saved, _read)
    except (ValidationError, ValueError):
        return dict(values)


def _read(values: Mapping[str, Any]) -> Config:
    return Config.model_validate_json(json.dumps(values, default=str))


def validate(values: Mapping[str, Any], where: str) -> Config:
    """Check values, bounds and combinations, and return the complete configuration.

    Raises:
        ConfigError: One line per problem: ``where``, the key's path, what is wrong, and the remedy.
    """
    if problems := [f"{where}: {problem}" for problem in _unusable(values)]:
        raise ConfigError("\n".join(problems))
    try:
        config = _read(values)
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


def _unusable(values: object, path: str = "") -> Iterator[str]:
    """Values that no key can have: numbers that are not finite or too large, and half of a surrogate pair."""
    match values:
        case Mapping():
            for name, value in values.items():
                yield from _unusable(name, f"{path}.{name}" if path else str(name))
                yield from _unusable(value, f"{path}.{name}" if path else str(name))
        case list() | tuple():
            for value in values:
                yield from _unusable(value, path)
        case float() if not math.isfinite(values):
            yield f"{path} = {values}: a number must be finite; set one, or remove the key"
        case str() if any("\ud800" <= sign <= "\udfff" for sign in values):
            yield f"{path!a} has a byte that is not UTF-8, or half of a surrogate pair; write it as UTF-8 text"
        case int() if abs(values) > LARGEST:
            yield f"{path}: a whole number must be at most {LARGEST}; lower it"


def _problem(details: ErrorDetails) -> str:
    loc = details["loc"]
    path = ".".join(str(part) for part in loc if not isinstance(part, int) or loc[0] not in _TABLES)
    shown = path
    if loc[0] in _TABLES and len(loc) > 1:  # rewards[0].weight
        shown = ".".join([f"{loc[0]}[{loc[1]}]", *map(str, loc[2:])])
    if details["type"] == "extra_forbidden":
        return "; ".join(_unknown(path, details["input"])).replace(path, shown, 1)
    if details["type"] == "missing":
        return f"{shown} is missing; set it"
    if details["type"] == "tuple_type" and path in _TABLES:
        return f"{path} must be a list of tables; write [[{path}]] instead of [{path}]"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "value_error":
        return message
    if details["type"] == "literal_error":
        message = choice_problem(details["input"], dict.fromkeys(_KEYS[path].choices))
    return f"{shown} = {json.dumps(details['input'], default=str)}: {message[:1].lower()}{message[1:]}"


def _unknown(path: str, value: object) -> Iterator[str]:
    """What is wrong with an unknown key; of a table of another trainer, the keys in it that have a meaning here."""
    found = {leaf: meaning_of(leaf, _KEYS) for leaf in leaves(path, value) if leaf != path}
    known = [f"{leaf}: {words}" for leaf, words in found.items() if words]
    yield f"{path}: unknown key{_instead_of(path) if not known else ''}"
    yield from known[:MANY]


def _instead_of(path: str) -> str:
    """Suggestion for an unknown key: keys of that name or meaning, or one with a similar name."""
    table, _, name = path.rpartition(".")
    elsewhere = [known for known in _KEYS if known.rpartition(".")[2] == name]
    if 1 <= len(elsewhere) <= FEW:
        theirs = [ELSEWHERE[name]] if name in ELSEWHERE else []
        return f"; did you mean {' or '.join([*theirs, *elsewhere])}?"
    if meaning := meaning_of(path, _KEYS):
        return f"; {meaning}"
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
