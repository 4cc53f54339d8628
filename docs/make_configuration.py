"""Write docs/configuration.md from the configuration model, so that the page and the code cannot differ.

Run it as: python docs/make_configuration.py
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from rekindle.config import Config
from rekindle.config.conditions import Condition
from rekindle.config.defaults import Case, Computed
from rekindle.config.keys import Key, Table, keys_of, lists_of

PAGE = Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

<!-- made by docs/make_configuration.py -->

A TOML file; every key has a default, unless the table says otherwise. The base comes first, then the recipe, then the
file, then `--set key.sub=value` and `--seed`; the later wins. Unknown keys, wrong types and combinations that cannot
work are refused with the key's path and the remedy, and so is a key that is set where nothing would read it: "read
where" says when it is read. A run keeps its complete configuration as `config.toml`.
"""


def page() -> str:
    """The whole page."""
    keys = {key.path: key for key in keys_of(Config)}
    return "\n".join(
        [
            HEAD,
            _rows([key for path, key in keys.items() if "." not in path]),
            "",
            *(_entry(name, table) for name, table in lists_of(Config)),
            *_tables(Config, "", keys),
        ]
    )


def _tables(model: type[BaseModel], prefix: str, keys: dict[str, Key]) -> list[str]:
    sections = []
    for name, field in model.model_fields.items():
        table: Any = field.annotation
        if isinstance(table, type) and issubclass(table, Table):
            sections.append(_section(table, prefix + name, keys))
            sections += _tables(table, f"{prefix}{name}.", keys)
    return sections


def _section(table: type[Table], path: str, keys: dict[str, Key]) -> str:
    words = inspect.cleandoc(table.__doc__ or "")
    if table.read_when is not None:
        words += f"\n\nRead where {_condition(table.read_when)}."
    own = [key for name, key in keys.items() if name.rpartition(".")[0] == path]
    return f"## [{path}]\n\n{words}\n\n{_rows(own)}\n"


def _entry(name: str, table: type[Table]) -> str:
    """Section of the tables of a list."""
    return f"## [[{name}]]\n\n{inspect.cleandoc(table.__doc__ or '')}\n\n{_rows(list(keys_of(table)))}\n"


def _rows(keys: list[Key]) -> str:
    lines = ["| key | type | default | | read where |", "|---|---|---|---|---|"]
    for key in keys:
        name, read = key.path.rpartition(".")[2], "" if key.own is None else _condition(key.own)
        lines.append(f"| `{name}` | {_type(key)} | {_default(key)} | {_meaning(key)} | {read} |")
    return "\n".join(lines)


def _meaning(key: Key) -> str:
    values = [f"`{json.dumps(value)}`: {words}" for value, words in key.values.items()]
    return "<br>".join([key.description, *values]).replace("|", "\\|")


def _condition(condition: Condition) -> str:
    """The condition with its settings as code."""
    return re.sub(r'\b[a-z_]+\.[a-z_]+(?: (?:=|>) (?:"[^"]*"|true|false|\d+))?', lambda m: f"`{m[0]}`", str(condition))


def _type(key: Key) -> str:
    if key.several:
        return "list of"
    return "one of" if key.choices else _name(key.field.annotation) + _bounds(key)


def _name(kind: Any) -> str:
    values = get_args(kind)
    if type(None) in values:
        return _name(values[0])
    containers = {tuple: "list of tables" if _is_table(values[0]) else "list", dict: "table"} if values else {}
    return {"str": "text", "int": "integer", "float": "number", "bool": "true, false"}.get(
        getattr(kind, "__name__", ""), containers.get(get_origin(kind), str(kind))
    )


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Table)


def _bounds(key: Key) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    rules = key.field.metadata
    found = [f"{signs[name]} {getattr(rule, name)}" for rule in rules for name in signs if hasattr(rule, name)]
    return f" {', '.join(found)}" if found else ""


def _default(key: Key) -> str:
    if key.field.is_required():
        return "needed"
    plain = [] if key.default is None else [f"`{json.dumps(key.default)}`"]
    return "<br>".join([*plain, *map(_case, key.cases)])


def _case(case: Case) -> str:
    """A default under a condition, e.g. "where `model.path` is set: `1e-06`"."""
    value = case.value.words if isinstance(case.value, Computed) else f"`{json.dumps(case.value)}`"
    return f"where {_condition(case.when)}: {value}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
