"""Secrets of a run: they are read from the environment, and never stand in a configuration."""

import os

from rekindle.types import UserError

__all__ = ["secret"]


def secret(variable: str | None, key: str) -> str | None:
    """What an environment variable holds; None where none is named.

    Args:
        variable: Its name.
        key: The key of the configuration that names it.

    Raises:
        UserError: It is named and not set.
    """
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise UserError(
            f'{key} = "{variable}" names an environment variable that is not set; set it, or remove the key'
        )
    return value
