"""Tables of what a setting may name: one entry per name, with its description.

The options of a configuration key are the keys of such a table, so that a name is declared in one place. An entry of a
torch or numpy object names the object and imports its module when it is asked for.
"""

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol, TypeVar

__all__ = ["Described", "closest", "entry_of", "load"]


class Described(Protocol):
    """An entry of a table of choices."""

    @property
    def description(self) -> str:
        """What the name stands for, in a line."""
        ...


Entry = TypeVar("Entry")


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one was meant to be, where one is near enough."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def entry_of(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """The entry of a name.

    Args:
        table: Entries by name.
        name: What was asked for.
        what: The kind of thing, for the message, e.g. "aggregation".

    Raises:
        ValueError: There is no such entry.
    """
    if name in table:
        return table[name]
    near = closest(name, table)
    hint = f'did you mean "{near}"?' if near else f"choose one of {', '.join(table)}"
    raise ValueError(f'there is no {what} "{name}"; {hint}')


def load(target: str) -> Any:
    """The object of ``"package.module:name"``."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
