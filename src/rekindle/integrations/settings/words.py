"""Messages about our keys in the words of another trainer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rekindle.integrations.settings.tables import KNOWN, Places

__all__ = ["Wording", "with_names"]

KEY = re.compile(r"(?<![\w./])[a-z_]+\.[a-z][a-z_0-9]*(?:\.[a-z_0-9]+)*(?![\w/])")
LISTS = ("rewards[", "audits[")
"""Beginnings of keys in lists of tables."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Messages of a run in the words of another trainer; keys that a recipe may set keep their names.

    Attributes:
        places: Where keys are in the trainer.
        phrases: What a message says of a run of the command line, and what it says there.
        names: The trainer's name of a key.
        tables: Its name for all other keys of a table, by their beginning.
    """

    places: Places
    phrases: Mapping[str, str]
    names: Mapping[str, str]
    tables: Mapping[str, str]

    def said(self, message: str) -> str:
        """The message."""
        for ours, theirs in self.phrases.items():
            message = message.replace(ours, theirs)
        for table in LISTS:
            message = message.replace(table, self.tables[table])
        return KEY.sub(lambda found: self._name(found[0]), message)

    def _name(self, path: str) -> str:
        if path not in KNOWN or (self.places.allowed(path) and path not in self.names):
            return path
        return self.names.get(path) or self.tables.get(f"{path.partition('.')[0]}.") or path


def with_names(message: str, given: Iterable[str], names: Mapping[str, str], example: str) -> str:
    """A message about keys, with the other trainer's name beside those whose value it gave.

    Args:
        message: One line per problem.
        given: Keys that the other trainer gave.
        names: Its names by key.
        example: How a name is put, e.g. ``GRPOConfig's {}``.
    """
    known = {path: names[path] for path in given if path in names}
    lines = [re.sub(r"^config: ", "recipe: ", line) for line in message.splitlines()]

    def both(found: re.Match[str]) -> str:
        path = found[0]
        return f"{path} ({example.format(known[path])})" if path in known else path

    return "\n".join(re.sub(r"\b[a-z_]+\.[a-z_0-9]+\b", both, line) for line in lines)
