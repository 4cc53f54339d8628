"""Refusal of several problems at once."""

from collections.abc import Iterator

from rekindle.config import ConfigError

__all__ = ["refuse"]


def refuse(problems: Iterator[str]) -> None:
    """Raise all problems together.

    Raises:
        ConfigError: There are some; one line each.
    """
    if found := list(problems):
        raise ConfigError("\n".join(found))
