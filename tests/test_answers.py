"""Answers of servers within bounds of bytes, of values and of seconds."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.answers import AnswerError, Body, TooManyError, deadline_handlers, parse_json, read_body

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def values(value):
    """Lists, objects and what is in them, as the bound counts them: a container, and its parts but one."""
    if isinstance(value, list | dict):
        parts = list(value.values() if isinstance(value, dict) else value)
        return 1 + max(0, len(parts) - 1) + sum(map(values, parts))
    return 0


@given(JSON, st.booleans())
def test_json_is_parsed_as_it_is_where_it_has_few_values(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if b"\xed" in text and not ascii_only:
        return  # a lone surrogate is not UTF-8
    assert parse_json(text, values(value)) == value
    if values(value):
        with pytest.raises(TooManyError):
            parse_json(text, values(value) - 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 900, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        ('{"a": 1}'.encode("utf-16"), "no JSON"),
        (b"[" * 2000, "more than 1,000 values"),
        (b'"' + b"," * 2000 + b'",' + b"[" * 2000, "more than 1,000 values"),
        (b'["' + b'\\"' * 2000 + b'"' + b",1" * 2000 + b"]", "more than 1,000 values"),
        (b'["\\' * 1500, "no JSON"),
    ],
)
def test_json_that_is_not_read(content, expected):
    with pytest.raises(AnswerError, match=expected):
        parse_json(content, 1000)


@pytest.mark.parametrize("text", [", [ {" * 5000, '\\",[' * 5000, '"' * 9000, "\\" * 9999])
def test_signs_within_texts_are_no_values(text):
    assert parse_json(json.dumps([text, {text: 1}]).encode(), 3) == [text, {text: 1}]


def test_a_body_is_kept_up_to_its_bound():
    body = Body(2**20)
    for _ in range(16):
        body.add(b"x" * 2**16)
    with pytest.raises(AnswerError, match="more than 1 MiB"):
        body.add(b"y")
    assert body.content == b"x" * 2**20
    assert read_body(io.BytesIO(b"z" * 200_000), 200_000) == b"z" * 200_000
    with pytest.raises(AnswerError, match="more than"):
        read_body(io.BytesIO(b"z" * 200_001), 200_000)


@contextmanager
def answering(handle):
    """The address of a server that answers one connection."""
    listener, ends = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            with suppress(OSError):
                handle(connection, ends)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        ends.set()
        thread.join()
        listener.close()


def drip(start, piece):
    """Sends a piece every hundredth of a second: no single wait is long."""

    def handle(connection, ends):
        connection.sendall(start)
        while not ends.wait(0.01):
            connection.sendall(piece)

    return handle


@pytest.mark.parametrize(
    "handle",
    [
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"HTTP", b""),
    ],
)
def test_a_server_that_answers_byte_by_byte_is_left_at_the_deadline(handle):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *deadline_handlers())
    failures = (TimeoutError, urllib.error.URLError)
    with (
        answering(handle) as url,
        pytest.raises(failures, match="time"),
        opener.open(url, timeout=0.3) as response,
    ):
        read_body(response, 10**6)


def test_an_answer_in_time_is_whole():
    def handle(connection, ends):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(3):
            time.sleep(0.01)
            connection.sendall(b"x" * 100_000)

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *deadline_handlers())
    with answering(handle) as url, opener.open(url, timeout=20) as response:
        assert read_body(response, 10**6) == b"x" * 300_000
