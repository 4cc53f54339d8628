"""Connections of the retriever's server: a bound on their number, and deadlines for heads of requests.

A client may open a connection and send nothing, or a head byte by byte. uvicorn waits for it without end, and counts
it among the connections that others may then not open.

    what a connection waits for          how long
    the head of its first request        ``head_seconds``, from its opening
    the head of a further one            ``head_seconds``, from its first byte; before it, uvicorn's keep-alive
    a body, a search, a slow reader      the server's own limits for these

When as many are open as may be, the one makes room that has been waiting for its client for the longest time, if that
is more than a second: first those in the middle of a head, then idle ones, then those in the middle of a body or of an
answer that is not read. A connection whose client has sent something that is not read yet waits for the server, not for
its client. The next client waits for room, and is refused where none was found for some seconds.
"""

import array
import asyncio
import fcntl
import socket
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["REFUSAL", "Connections"]

IDLE_GRACE_SECONDS = 10.0
"""Time after the keep-alive in which an idle connection must be closed, also where its client reads nothing."""
PATIENCE_SECONDS = 1.0
"""A connection that has waited less for its client is not closed for another one."""
ROOM_SECONDS = 3.0
"""How long a client waits for room; then it and the next ones are refused, until there is some."""
LOOK_SECONDS = 0.1
"""Pause before the next look for a connection that makes room."""
FULL = b'{"detail":"too many connections are open; ask again later"}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(FULL), FULL)
)
"""The whole answer to a client for whom there is no room."""
HEAD, IDLE, UNFINISHED, BUSY = range(4)
"""What a connection is doing; the first three wait for its client, and are closed in this order."""


class Connections:
    """The open connections of one server, in its event loop.

    Args:
        most: Most open connections.
        head_seconds: Time for the head of a request.
        idle_seconds: Time that an idle connection is kept.
    """

    def __init__(self, most: int, head_seconds: float, idle_seconds: float) -> None:
        self._most, self._head_seconds = most, head_seconds
        self._idle_seconds = idle_seconds + IDLE_GRACE_SECONDS
        self._open: dict[tuple[str, int] | None, _Watched] = {}
        self._coming = 0
        """Connections that are accepted, and have no protocol yet."""
        self._left = asyncio.Event()
        self._is_full = False

    def protocol(self) -> Callable[..., asyncio.Protocol]:
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

    async def room(self) -> bool:
        """Wait for the place of another connection, and keep it for :meth:`connect`; False where there is none."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (0.0 if self._is_full else ROOM_SECONDS)
        while len(self._open) + self._coming >= self._most and not self._evict():
            if loop.time() >= end:
                self._is_full = True
                return False
            self._left.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), LOOK_SECONDS)
        self._is_full = False
        self._coming += 1
        return True

    async def connect(self, accepted: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Give a connection that has a place its protocol."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, accepted)
        except OSError:
            accepted.close()
        finally:
            self._coming -= 1

    def _made(self, protocol: Any) -> None:
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
            self._left.set()

    def _expired(self, watched: "_Watched") -> None:
        watched.abort()

    def _evict(self) -> bool:
        """Close the connection that has waited longest for its client; False where none waits."""
        before = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        late = (watched for watched in self._open.values() if watched.since < before)
        waiting = sorted((state, one.since, id(one), one) for one in late if (state := one.state) != BUSY)
        victim = next((one for *_, one in waiting if not one.has_unread()), None)
        if victim is None:
            return False
        self._lost(victim.protocol)
        victim.make_room()
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

    def has_unread(self) -> bool:
        """Whether the client has sent something that is still to be read."""
        count = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self.protocol.transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
        return count[0] > 0

    def make_room(self) -> None:
        """Close the connection for another one; a client in the middle of a head is told why."""
        if self.state == UNFINISHED:
            return self.abort()
        if self.state == HEAD:
            self.protocol.transport.write(REFUSAL)
        self.protocol.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.protocol.transport.abort()
