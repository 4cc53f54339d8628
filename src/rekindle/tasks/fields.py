"""Fields of a row as text, for every file format."""

import math

from rekindle.tasks.task_set import TaskError

__all__ = ["id_text", "text_of"]


def text_of(value: object) -> str | None:
    """Text unchanged, a number as text; None for anything else.

    A whole float such as 72.0 (Parquet's number columns) is written 72.
    """
    match value:
        case str():
            return value
        case int() if not isinstance(value, bool):
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
    return None


def id_text(place: str, name: str, value: object) -> str:
    """The id in field ``name``.

    Raises:
        TaskError: The id is neither text nor a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise TaskError(f'{place}: "{name}" must be text or a whole number, not {value!r:.80}; fix or remove it')
    return str(value)
