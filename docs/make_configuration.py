"""Write docs/configuration.md from the configuration model, so that the page and the code cannot differ.

Run it as: python docs/make_configuration.py
"""

import inspect
import json
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rekindle.config import Config

PAGE = Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

<!-- made by docs/make_configuration.py -->

A TOML file; every key has a default, unless the table says otherwise. The recipe's values come first, then the file's,
then `--set key.sub=value` and `--seed`; the later wins. Unknown keys, wrong types and combinations that cannot work are
refused with the key's path and the remedy. A run keeps its complete configuration as `config.toml`.
"""


def page() -> str:
    """The whole page."""
    sections = [_table(f"[{name}]", field) for name, field in Config.model_fields.items() if _model(field)]
    return "\n".join([HEAD, *sections])


def _table(title: str, field: FieldInfo) -> str:
    model = _model(field)
    assert model is not None
    words = inspect.cleandoc(model.__doc__ or "")
    lines = [f"## {title}", "", words, "", "| key | type | default | |", "|---|---|---|---|"]
    inner = []
    for name, column in model.model_fields.items():
        if _model(column):
            inner.append(_table(f"{title[:-1]}.{name}]", column))
            continue
        words = column.description or ""
        lines.append(f"| `{name}` | {_type(column.annotation)}{_bounds(column)} | {_default(column)} | {words} |")
    return "\n".join([*lines, "", *inner])


def _model(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _type(kind: Any) -> str:
    values = get_args(kind)
    if str(get_origin(kind)) == "typing.Literal":
        return ", ".join(f'`"{value}"`' for value in values)
    if type(None) in values:
        return _type(values[0])
    origin = get_origin(kind)
    return {"str": "text", "int": "integer", "float": "number", "bool": "true, false"}.get(
        getattr(kind, "__name__", ""), {tuple: "list", dict: "table"}.get(origin, str(kind))
    )


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{signs[name]} {getattr(rule, name)}" for rule in field.metadata for name in signs if hasattr(rule, name)]
    return f" {', '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return ""
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
