"""Secrets of a run, read from environment variables and never from the configuration."""

import os

from rekindle.types import UserError

__all__ = ["secret"]


def secret(variable: str | None, key: str) -> str | None:
    """Value of an environment variable; None where none is named.

    Args:
        variable: Name of the variable.
        key: The key of the configuration that names it.

    Raises:
        UserError: The variable is named but not set, or empty.
    """
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise UserError(
            f'{key} = "{variable}" names an environment variable that is not set; set it, or remove the key'
        )
    return value
