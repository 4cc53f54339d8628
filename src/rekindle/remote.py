"""What a remote server says, made safe to repeat and to obey."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["one_line", "retry_after"]


def one_line(text: str) -> str:
    """At most 300 characters on one line, with nothing in it that could steer a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:300]


def retry_after(value: str | None, most: float) -> float:
    """Seconds that a ``Retry-After`` header asks for, as seconds or as a date; 0.0 where it says neither.

    Args:
        value: Of the header; None where there is none.
        most: What is obeyed at most.
    """
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return min(seconds, most) if seconds > 0 else 0.0
