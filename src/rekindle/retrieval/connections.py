"""Connections of the retriever's server: a bound on their number, and deadlines for heads of requests.

A client may open a connection and send nothing, or a head byte by byte. uvicorn waits for it without end, and counts
it among the connections that others may then not open.

    what a connection waits for          how long
    the head of its first request        ``head_seconds``, from its opening
    the head of a further one            ``head_seconds``, from its first byte; before it, uvicorn's keep-alive
    a body, a search, a slow reader      the server's own limits for these

When many are open, the one is closed that has been waiting for its client for the longest time, if that is more than a
second: first those in the middle of a head, then idle ones, then those in the middle of a body or of an answer that is
not read. Twice as many may be open for a moment, when many clients come at once.
"""

import asyncio
from typing import Any

__all__ = ["Connections"]

IDLE_GRACE_SECONDS = 10.0
"""Time after the keep-alive in which an idle connection must be closed, also where its client reads nothing."""
PATIENCE_SECONDS = 1.0
"""A connection that has waited less for its client is not closed for another one."""
FULL = b'{"detail":"too many connections are open; ask again later"}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(FULL)
)
HEAD, IDLE, UNFINISHED, BUSY = range(4)
"""What a connection is doing; the first three wait for its client, and are closed in this order."""


class Connections:
    """The open connections of one server, in its event loop.

    Args:
        most: Number above which connections that wait for their clients are closed; twice as many are refused.
        head_seconds: Time for the head of a request.
        idle_seconds: Time that an idle connection is kept.
    """

    def __init__(self, most: int, head_seconds: float, idle_seconds: float) -> None:
        self._most, self._head_seconds = most, head_seconds
        self._idle_seconds = idle_seconds + IDLE_GRACE_SECONDS
        self._open: dict[tuple[str, int] | None, _Watched] = {}
        self.refused = self.evicted = self.late = 0

    def protocol(self) -> type[asyncio.Protocol]:
        """Uvicorn's protocol of a connection, watched."""
        from uvicorn.protocols.http.auto import AutoHTTPProtocol

        connections = self

        class Watched(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                connections._made(self)

            def data_received(self, data: bytes) -> None:
                before = self.cycle
                super().data_received(data)
                connections._received(self, begun=self.cycle is not before)

            def on_response_complete(self) -> None:
                super().on_response_complete()
                connections._answered(self)

            def connection_lost(self, exc: Exception | None) -> None:
                connections._lost(self)
                super().connection_lost(exc)

        return Watched

    def abort(self, client: tuple[str, int] | None) -> None:
        """Close a connection at once, without what is still to be sent."""
        if watched := self._open.get(client):
            watched.abort()

    def abort_all(self) -> None:
        """Close all connections at once."""
        for watched in list(self._open.values()):
            watched.abort()

    def _made(self, protocol: Any) -> None:
        if len(self._open) >= self._most and not self._evict() and len(self._open) >= 2 * self._most:
            self.refused += 1
            protocol.transport.write(REFUSAL + FULL)
            protocol.transport.close()
            return
        self._open[protocol.client] = watched = _Watched(protocol)
        watched.expect(self._head_seconds, self._expired)

    def _received(self, protocol: Any, *, begun: bool) -> None:
        watched = self._open.get(protocol.client)
        if watched is None:
            return
        if begun:
            watched.expect(None, self._expired)
        elif watched.state == IDLE:
            watched.in_head = True
            watched.expect(self._head_seconds, self._expired)

    def _answered(self, protocol: Any) -> None:
        watched = self._open.get(protocol.client)
        if watched is not None and protocol.cycle.response_complete:  # else the next request was there already
            watched.in_head = False
            watched.expect(self._idle_seconds, self._expired)

    def _lost(self, protocol: Any) -> None:
        watched = self._open.get(protocol.client)
        if watched is not None and watched.protocol is protocol:
            watched.expect(None, self._expired)
            del self._open[protocol.client]

    def _expired(self, watched: "_Watched") -> None:
        self.late += 1
        watched.abort()

    def _evict(self) -> bool:
        """Close the connection that has waited longest for its client; False where none waits."""
        before = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        late = (watched for watched in self._open.values() if watched.since < before)
        waiting = [(state, one.since, id(one), one) for one in late if (state := one.state) != BUSY]
        if not waiting:
            return False
        victim = min(waiting)[-1]
        self._lost(victim.protocol)
        victim.abort()
        self.evicted += 1
        return True


class _Watched:
    """One connection, and the timer of what it has to do next."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.in_head = True
        self.since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> int:
        """HEAD, IDLE, UNFINISHED or BUSY."""
        cycle = self.protocol.cycle
        if cycle is None or cycle.response_complete:
            return HEAD if self.in_head else IDLE
        return UNFINISHED if cycle.more_body or self.protocol.flow.write_paused else BUSY

    def expect(self, seconds: float | None, expired: Any) -> None:
        """Begin to wait for something, at most ``seconds``; None: for something that has a limit of its own."""
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else loop.call_later(seconds, expired, self)

    def abort(self) -> None:
        """Close the connection at once."""
        self.protocol.transport.abort()
