"""What all clients of a remote server share: its address, its secret, and what it says, safe to repeat and to obey."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

__all__ = ["LOOPBACK", "TRANSIENT", "TransientError", "http_address", "is_sendable", "one_line", "retry_after"]

TRANSIENT = frozenset({408, 425, 429})
"""Client errors that time mends; every 5xx does as well."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine: a proxy of the environment is for others."""


class TransientError(Exception):
    """An attempt failed in a way that another attempt may not; ``pause`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def http_address(url: str) -> SplitResult | None:
    """The parts of an http address; None of anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # what the system's look-up would choke on
    except ValueError:
        return None
    return parts if usable and url.isascii() and url.isprintable() and " " not in url else None


def is_sendable(secret: str) -> bool:
    """Whether a key or token can stand in a header."""
    return bool(secret) and secret.isascii() and secret.isprintable() and " " not in secret


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
