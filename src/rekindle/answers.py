"""Answers of HTTP servers and JSON from elsewhere, read within bounds of bytes, of values and of seconds.

A server may send without end, byte by byte, or a short text that becomes gigabytes of objects. Every client of the
house, and the retriever's server for its requests, reads through this module.
"""

import http.client
import io
import json
import re
import socket
import time
import urllib.request
from functools import partial
from typing import IO, Any

__all__ = ["AnswerError", "Body", "TooManyError", "deadline_handlers", "parse_json", "read_body"]

CHUNK = 64 * 2**10
"""Bytes read at a time."""
SEPARATORS = (b",", b"[", b"{")
PIECE = re.compile(rb'([^"]*+)(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?+)?+', re.DOTALL)
"""What is outside of a JSON string, and the string after it."""


class AnswerError(ValueError):
    """An answer that is not read: the message says why, without the answer's own words."""


class TooManyError(AnswerError):
    """JSON with more values than are read."""


class Body:
    """The bytes of an answer as they arrive.

    Args:
        most: Most bytes that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Keep a chunk.

        Raises:
            AnswerError: The answer is longer than ``most``.
        """
        if len(self._bytes) + len(chunk) > self._most:
            raise AnswerError(f"more than {self._most / 2**20:g} MiB")
        self._bytes += chunk

    @property
    def content(self) -> bytes:
        """All that has arrived."""
        return bytes(self._bytes)


def read_body(answer: IO[bytes], most: int) -> bytes:
    """Read a file-like answer to its end.

    Raises:
        AnswerError: It is longer than ``most`` bytes.
        OSError: The connection broke, or its time is over.
    """
    body = Body(most)
    while chunk := answer.read(CHUNK):
        body.add(chunk)
    return body.content


def parse_json(content: bytes, most_values: int) -> Any:
    """The value of a JSON text in UTF-8.

    Args:
        content: The text.
        most_values: Most values in it: numbers, texts, lists, objects. Each takes some 50 to 200 bytes of memory.

    Raises:
        TooManyError: It has more values.
        AnswerError: It is not JSON, nested too deeply, or has a number with thousands of digits.
    """
    if _has_more(content, most_values):
        raise TooManyError(f"more than {most_values:,} values")
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError:
        raise AnswerError("no JSON (not UTF-8)") from None
    except (ValueError, RecursionError):
        raise AnswerError("no JSON") from None


def _has_more(content: bytes, most: int) -> bool:
    """Whether a JSON text has more values than ``most``, found without making them."""
    if sum(map(content.count, SEPARATORS)) <= most:
        return False  # the usual case: not even with those within strings
    count = 0
    for piece in PIECE.finditer(content):
        count += sum(map(piece[1].count, SEPARATORS))
        if count > most:
            return True
    return False


# -- a deadline for urllib, whose time-out is one for each byte --------------------------------------------------------


class _Raw(io.RawIOBase):
    """The bytes of a socket until a moment of the monotonic clock."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        super().__init__()
        self._socket, self._until = connection, until
        self._stream = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no whole answer within the time")
        self._socket.settimeout(left)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose status, headers and body arrive before a moment."""

    def __init__(self, sock: socket.socket, *given: Any, until: float, **named: Any) -> None:
        super().__init__(sock, *given, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_Raw(sock, until))


def _limited(connection: Any) -> Any:
    """A connection of http.client with its time-out as the deadline of the whole answer."""
    connection.response_class = partial(_Response, until=time.monotonic() + connection.timeout)
    return connection


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(lambda host, **named: _limited(http.client.HTTPConnection(host, **named)), req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(lambda host, **named: _limited(http.client.HTTPSConnection(host, **named)), req)


def deadline_handlers() -> tuple[urllib.request.BaseHandler, ...]:
    """Handlers for an opener of urllib with which ``timeout`` limits an attempt from its begin to its last byte."""
    return _Http(), _Https()
