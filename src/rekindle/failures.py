"""The sentence that a user is told of an error."""

import sqlite3

from rekindle.types import UserError

__all__ = ["sentence_of"]

TRAINING = {"torch", "transformers", "tokenizers", "safetensors"}


def sentence_of(error: BaseException, again: str) -> str | None:
    """What is wrong and the remedy; None for an error that the user cannot mend.

    Args:
        error: The error.
        again: What to do when its cause is gone, e.g. "repeat the command".
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError | sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
        return f"a file could not be read or written ({error}); check free space and permissions, and {again}"
    if isinstance(error, ModuleNotFoundError) and error.name in TRAINING:
        return f'{error.name} is not installed; run: pip install "rekindle[train]"'
    return None
