"""Accepting connections, a few at a time and while there is room for them.

asyncio's own server accepts as many as are waiting, thousands at once, and a server that has to read all of them
answers nobody for seconds. Here they wait in the kernel's queue, and clients see a slow server. When there has been no
room for some seconds, they are told so with status 503.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Never

from rekindle.retrieval.connections import REFUSAL, Connections

__all__ = ["MOST_REFUSED", "accept_all"]

AT_ONCE = 64
"""Connections that are accepted before others have their turn."""
MOST_REFUSED = 64
"""Connections that are being refused at the same time."""
LINGER_SECONDS = 1.0
"""How long a refused client may take to read why; closing on what it has sent would reset the connection instead."""
RETRY_SECONDS = 1.0
"""Pause after an error, such as too many open files."""


async def accept_all(
    listening: socket.socket, connections: Connections, protocol: Callable[[], asyncio.Protocol]
) -> Never:
    """Accept connections until the task is cancelled.

    Args:
        listening: The socket; it does not block.
        connections: Says whether there is room.
        protocol: Makes the protocol of a connection.
    """
    loop = asyncio.get_running_loop()
    begun: set[asyncio.Task[None]] = set()
    refusals: set[asyncio.Task[None]] = set()
    for number in itertools.count(1):
        try:
            accepted, _ = await loop.sock_accept(listening)  # at once, where a connection waits
        except ConnectionError:  # the client is gone
            continue
        except OSError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if await _has_room(connections, accepted):
            _begin(begun, connections.connect(accepted, protocol))
        else:
            _begin(refusals, _refuse(accepted))
        if len(refusals) >= MOST_REFUSED:
            await asyncio.wait(refusals, return_when=asyncio.FIRST_COMPLETED)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    raise AssertionError


def _begin(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    tasks.add(task := asyncio.create_task(work))
    task.add_done_callback(tasks.discard)


async def _has_room(connections: Connections, accepted: socket.socket) -> bool:
    try:
        return await connections.room()
    except asyncio.CancelledError:
        accepted.close()
        raise


async def _refuse(accepted: socket.socket) -> None:
    """Say that there is no room, and close when the client has read it."""
    loop = asyncio.get_running_loop()
    with accepted, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await loop.sock_sendall(accepted, REFUSAL)
            accepted.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(accepted, 2**16):
                pass
