"""Large bodies of requests: few are received at the same time, so that small requests do not wait for all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["LargeBodies", "hasten"]

AT_ONCE = 4
"""Large bodies that are received at the same time."""
HURRY_SECONDS = 5.0
"""Time for a large body while others wait for their turn."""


class LargeBodies:
    """Turns of large bodies, in the event loop of a server."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._begun: dict[asyncio.Timeout, float] = {}
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, limit: asyncio.Timeout) -> AsyncIterator[None]:
        """Wait for a turn and have it.

        Args:
            limit: The body's limit of time. It becomes shorter while others wait.
        """
        self._waiting += 1
        self._hurry()
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        self._begun[limit] = asyncio.get_running_loop().time()
        self._hurry()
        try:
            yield
        finally:
            del self._begun[limit]
            self._turns.release()

    def _hurry(self) -> None:
        for limit, begun in self._begun.items() if self._waiting else ():
            hasten(limit, begun + HURRY_SECONDS)


def hasten(limit: asyncio.Timeout, when: float) -> None:
    """Let a limit of time end at a moment of the event loop's clock, if that is earlier than it would."""
    if not limit.expired():
        before = limit.when()
        limit.reschedule(when if before is None else min(before, when))
