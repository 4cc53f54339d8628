"""Memory of the retriever's server: bytes held by all requests together."""

import threading
from dataclasses import dataclass

__all__ = ["Memory", "Ticket"]

FREE_BYTES = 64 * 2**10
"""Bytes of a request that always have room: no number of large requests keeps out the small ones."""


@dataclass(slots=True, eq=False)
class Ticket:
    """What one request holds: the bytes of its body and of the documents found for it."""

    bytes: int = 0

    @property
    def counted(self) -> int:
        """Bytes beyond those that always have room."""
        return max(0, self.bytes - FREE_BYTES)


class Memory:
    """Bytes of all requests, up to a bound. Thread-safe.

    Args:
        most: Most bytes, without ``FREE_BYTES`` of each request.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._lock = threading.Lock()

    def take(self, ticket: Ticket, count: int) -> bool:
        """Let a request hold ``count`` bytes more, if there is room; say whether there was."""
        with self._lock:
            more = max(0, ticket.bytes + count - FREE_BYTES) - ticket.counted
            if more and self._taken + more > self._most:
                return False
            ticket.bytes += count
            self._taken += more
            return True

    def release(self, ticket: Ticket) -> None:
        """Give back all that a request holds. May be called twice."""
        with self._lock:
            self._taken -= ticket.counted
            ticket.bytes = 0
