"""Helpers shared by HTTP clients: checks of address and secret, and safe use of a server's messages and pauses."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from rekindle.types import UserError

__all__ = [
    "LOOPBACK",
    "TRANSIENT",
    "TransientError",
    "http_address",
    "is_sendable",
    "one_line",
    "retry_after",
    "secret",
]

TRANSIENT = frozenset({408, 425, 429})
"""Client errors that may be gone at the next attempt; so may every 5xx."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine; proxies set in the environment are not used for it."""


class TransientError(Exception):
    """An attempt failed, but a later one may succeed; ``pause`` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def http_address(url: str) -> SplitResult | None:
    """The parts of an http or https address; None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # names that the system's look-up cannot handle
    except ValueError:
        return None
    return parts if usable and url.isascii() and url.isprintable() and " " not in url else None


def is_sendable(secret: str) -> bool:
    """Whether a key or token can be sent in a header."""
    return bool(secret) and secret.isascii() and secret.isprintable() and " " not in secret


def one_line(text: str) -> str:
    """The first 300 characters on one line, without control characters of a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:300]


def retry_after(value: str | None, most: float) -> float:
    """Seconds of a ``Retry-After`` header, given as seconds or as a date; 0.0 for anything else.

    Args:
        value: Value of the header; None without one.
        most: Upper bound of the result.
    """
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
        except (ValueError, OverflowError):
            return 0.0
    return min(seconds, most) if seconds > 0 else 0.0


def secret(variable: str | None, key: str) -> str | None:
    """Value of an environment variable with a secret, which is never in the configuration; None where none is named.

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
