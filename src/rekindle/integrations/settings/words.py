"""Messages about our keys in the words of another trainer."""

import re
from collections.abc import Iterable, Iterator, Mapping

from rekindle.config import ConfigError

__all__ = ["refuse", "with_names"]


def refuse(problems: Iterator[str]) -> None:
    """Raise all problems together.

    Raises:
        ConfigError: There are some; one line each.
    """
    if found := list(problems):
        raise ConfigError("\n".join(found))


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
