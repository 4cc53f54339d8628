"""Fields of a row as text, for every file format."""

import datetime
import math
from decimal import Decimal
from uuid import UUID

from rekindle.tasks.task_set import TaskError

__all__ = ["encodable", "id_text", "text_of"]


def text_of(value: object) -> str | None:
    """Text unchanged, a number as text; None for anything else.

    A whole number of another type, such as 72.0 or Decimal("72.00") of a Parquet file, is written 72. A date is written
    as in ISO 8601, and bytes are UTF-8 text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return _decoded(value) if isinstance(value, bytes) else _number(value)


def _number(value: object) -> str | None:
    match value:
        case int() if not isinstance(value, bool):
            return _digits(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
        case Decimal() if value.is_finite():
            return f"{value.normalize():f}"
    return None


def _digits(value: int) -> str | None:
    try:
        return str(value)
    except ValueError:  # Python's bound on the digits of a number
        return None


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def encodable(place: str, text: str) -> str:
    """The text, which can be written as UTF-8.

    Raises:
        TaskError: It has half of a surrogate pair, as an escape in JSON can write.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TaskError(f"{place}: {text!r:.80} has half of a surrogate pair; fix or remove the row") from error
    return text


def id_text(place: str, name: str, value: object) -> str:
    """The id in field ``name``.

    Raises:
        TaskError: The id is neither text nor a whole number.
    """
    text = None if isinstance(value, float) and not value.is_integer() else text_of(value)
    if not text:
        raise TaskError(f'{place}: "{name}" must be text or a whole number, not {value!r:.80}; fix or remove it')
    return encodable(place, text)
