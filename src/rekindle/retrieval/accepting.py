"""Accepting connections one at a time, while there is room for them.

asyncio's own server accepts as many as are waiting, thousands at once, and a server that has to read all of them
answers nobody for seconds. Here they wait in the kernel's queue, and clients see a slow server. When there has been no
room for some seconds, they are told so with status 503.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Never

from rekindle.retrieval.connections import REFUSAL, Connections

__all__ = ["MOST_REFUSED", "accept_all"]

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
    refusals: set[asyncio.Task[None]] = set()
    while True:
        try:
            await _accept(listening, connections, protocol, refusals)
        except ConnectionError:  # the client is gone
            continue
        except OSError:
            await asyncio.sleep(RETRY_SECONDS)


async def _accept(
    listening: socket.socket,
    connections: Connections,
    protocol: Callable[[], asyncio.Protocol],
    refusals: set[asyncio.Task[None]],
) -> None:
    """Accept one connection, or begin to refuse it."""
    loop = asyncio.get_running_loop()
    accepted, _ = await loop.sock_accept(listening)
    with contextlib.ExitStack() as unless_taken:
        unless_taken.enter_context(accepted)
        if await connections.room():
            await loop.connect_accepted_socket(protocol, accepted)
        else:
            if len(refusals) >= MOST_REFUSED:
                await asyncio.wait(refusals, return_when=asyncio.FIRST_COMPLETED)
            refusals.add(task := asyncio.create_task(_refuse(accepted)))
            task.add_done_callback(refusals.discard)
        unless_taken.pop_all()


async def _refuse(accepted: socket.socket) -> None:
    """Say that there is no room, and close when the client has read it."""
    loop = asyncio.get_running_loop()
    with accepted, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await loop.sock_sendall(accepted, REFUSAL)
            accepted.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(accepted, 2**16):
                pass
