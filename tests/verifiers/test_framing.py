"""Messages arrive whole or not at all."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.verifiers.framing import receive, send


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=50) | st.integers() | st.none()), max_size=5))
def test_messages_come_back_in_order(messages):
    one, other = socket.socketpair()
    with one, other:
        for message in messages:
            send(one, message)
        assert [receive(other) for _ in messages] == messages


def test_half_a_surrogate_pair_in_model_text_survives(pair):
    one, other = pair
    send(one, {"text": "\ud83d"})
    assert receive(other) == {"text": "\ud83d"}


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\5{}", b"\0\0\0\2{]", b"\0\0\0\2[]", b"\xff\xff\xff\xff{}"])
def test_an_ended_or_senseless_stream_is_none(pair, data):
    one, other = pair
    one.sendall(data)
    one.close()
    assert receive(other) is None


def test_silence_is_a_timeout(pair):
    one, _ = pair
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        receive(one)
