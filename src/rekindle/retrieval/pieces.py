"""A response that is sent in pieces, within a limit of time."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["PiecesResponse"]


class Ended(Protocol):
    """Called once, when all is sent (``read``) or given up."""

    def __call__(self, *, read: bool) -> None: ...


class PiecesResponse(Response):
    """A JSON answer whose pieces are made while they are sent; a client that does not read them is given up.

    Args:
        pieces: Its body.
        limit: A context with a limit of time, which raises TimeoutError.
        ended: See ``Ended``.
    """

    media_type = "application/json"

    def __init__(
        self, pieces: Iterator[bytes], limit: Callable[[], AbstractAsyncContextManager[None]], ended: Ended
    ) -> None:
        self._pieces, self._limit, self._ended = pieces, limit, ended
        self._first = next(pieces)
        self._second = next(pieces, None)
        super().__init__(self._first if self._second is None else b"")
        if self._second is not None:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        read = False
        try:
            async with self._limit():
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": self._first, "more_body": self._second is not None})
                if self._second is not None:
                    await self._rest(send)
            read = True
        except TimeoutError:
            pass
        finally:
            self._ended(read=read)
            await asyncio.sleep(0)  # until the connection that was given up is closed

    async def _rest(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": self._second, "more_body": True})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # sending alone lets no other request have its turn
        await send({"type": "http.response.body", "body": b"", "more_body": False})
