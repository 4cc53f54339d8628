"""Tables of choices: the names that a setting may have, one entry per name, with its description.

The options of a configuration key are the keys of such a table, so that a name is declared in one place. An entry may
name a torch or numpy object; its module is then imported at the first use.
"""

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol, TypeVar

__all__ = ["MANY", "Described", "closest", "entry_of", "few", "load", "one_line", "plain_name"]

MANY = 8
"""Most names that a message lists."""
LONGEST = 300
"""Most characters of another library's message in one of ours."""


class Described(Protocol):
    """An entry of a table of choices."""

    @property
    def description(self) -> str:
        """Meaning of the name, in one line."""
        ...


ChoiceEntry = TypeVar("ChoiceEntry")


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a misspelt one, whatever its case and hyphens; None where none is near enough."""
    plain = {plain_name(one): one for one in known}
    return next((plain[one] for one in difflib.get_close_matches(plain_name(name), list(plain), n=1)), None)


def plain_name(name: str) -> str:
    """The name as names are compared: in lower case, with underscores for hyphens and spaces."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def few(names: Iterable[object], most: int = MANY) -> str:
    """The names separated by commas; of more than ``most`` the first ones, and how many there are."""
    listed = [str(name) for name in names]
    text = ", ".join(listed[:most])
    return text if len(listed) <= most else f"{text}, ... ({len(listed)} in all)"


def one_line(error: BaseException, longest: int = LONGEST) -> str:
    """The message of an error on one line, cut after ``longest`` characters; its type where it has no message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else f"{text[:longest]} ..."


def entry_of(table: Mapping[str, ChoiceEntry], name: str, what: str) -> ChoiceEntry:
    """The entry of a name.

    Args:
        table: Entries by name.
        name: Name of the entry.
        what: Kind of entry, for the message, e.g. "aggregation".

    Raises:
        ValueError: The table has no such entry.
    """
    if name in table:
        return table[name]
    near = closest(name, table)
    hint = f'did you mean "{near}"?' if near else f"choose one of {few(table)}"
    raise ValueError(f'there is no {what} "{name}"; {hint}')


def load(target: str) -> Any:
    """Import and return the object at ``"package.module:name"``."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
