"""Length-prefixed JSON messages over a socket: four bytes (big-endian) of length, then UTF-8."""

import json
import socket
from collections.abc import Mapping
from typing import Any

__all__ = ["receive", "send"]

MAX_BYTES = 1 << 28


def send(channel: socket.socket, message: Mapping[str, object]) -> None:
    """Write one complete message.

    Raises:
        OSError: The other end is gone, or the socket's time-out passed.
    """
    body = json.dumps(message).encode()
    channel.sendall(len(body).to_bytes(4, "big") + body)


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """Read one message; None when the other end is gone or sends something else.

    Raises:
        TimeoutError: The socket's time-out passed.
    """
    header = _exactly(channel, 4)
    size = int.from_bytes(header, "big")
    if len(header) < 4 or size > MAX_BYTES or len(body := _exactly(channel, size)) < size:
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _exactly(channel: socket.socket, count: int) -> bytes:
    """``count`` bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        try:
            part = channel.recv(min(count - len(data), 1 << 20))
        except ConnectionError:
            break
        if not part:
            break
        data += part
    return bytes(data)
