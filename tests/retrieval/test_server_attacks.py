"""Hostile clients of the retriever's server: slow ones, large ones, many, web pages; and honest ones beside them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from test_server import TOKEN, Echo, ask, hit, served, until
from uvicorn import Config
from uvicorn.server import ServerState

from rekindle.retrieval import connections as connections_module
from rekindle.retrieval import service as service_module
from rekindle.retrieval.batching import QueueFullError, SearchThread
from rekindle.retrieval.connections import PATIENCE_SECONDS, Connections
from rekindle.retrieval.memory import FREE_BYTES, Memory, Ticket
from rekindle.retrieval.retriever import Hit
from rekindle.retrieval.wire import Limits, RefusedError, parse_search
from rekindle.types import Document

HEAD = b"POST /retrieve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def opened(url, sent=b""):
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
    connection.sendall(sent)
    return connection


def answer_of(connection):
    found = b""
    while not found.endswith(b"}]]}"):
        found += connection.recv(65536)
    return found


def is_closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


# -- slow clients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"P", HEAD, HEAD + b"X-a:"])
def test_a_head_that_does_not_end_is_closed_by_its_deadline(sent):
    with served(limits=Limits(head_seconds=0.1)) as url, opened(url, sent) as connection:
        assert is_closed(connection)
        assert ask(url, {"queries": ["a"]})[0] == 200


def test_a_head_byte_by_byte_has_the_same_deadline():
    with served(limits=Limits(head_seconds=0.2)) as url, opened(url) as connection:
        connection.settimeout(0.02)
        closed = False
        for _ in range(200):
            try:
                connection.sendall(b"P")
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
            if closed:
                break
        assert closed


def test_a_second_head_on_a_kept_connection_has_a_deadline_too():
    body = b'{"queries": ["a"], "topk": 1}'
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with served(limits=Limits(head_seconds=0.3)) as url, opened(url, whole) as connection:
        assert answer_of(connection).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.5)  # an idle connection is kept
        connection.sendall(whole)
        assert answer_of(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(HEAD)
        assert is_closed(connection)


def test_an_answer_that_is_not_read_is_given_up():
    class Long(Echo):
        def search(self, queries, k):
            return [[Hit(Document(f"{n}", "t", "x" * 100_000), 1.0) for n in range(k)] for _ in queries]

    body = json.dumps({"queries": ["a"] * 20, "topk": 20}).encode()
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with served(Long(), limits=Limits(answer_seconds=0.2)) as url, opened(url, whole) as connection:
        health = url.replace("/retrieve", "/health")
        until(lambda: ask(health, method="GET")[2]["in_flight"] == 1)
        until(lambda: ask(health, method="GET")[2]["in_flight"] == 0)
        found = b""
        with suppress(ConnectionError):
            while piece := connection.recv(2**20):
                found += piece
    assert len(found) < 30_000_000
    assert not found.endswith(b"0\r\n\r\n")


def test_a_client_that_goes_away_frees_the_search():
    echo = Echo()
    echo.gate.clear()
    with served(echo) as url:
        blocker = ThreadPoolExecutor(1).submit(ask, url, {"queries": ["a"]})
        until(lambda: echo.calls)
        body = json.dumps({"queries": ["gone"] * 1000}).encode()
        client = opened(url, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        health = url.replace("/retrieve", "/health")
        until(lambda: ask(health, method="GET")[2]["in_flight"] == 2)  # else it may arrive after the gate has opened
        client.close()
        until(lambda: ask(health, method="GET")[2]["in_flight"] == 1)
        echo.gate.set()
        assert blocker.result()[0] == 200
        assert ask(url, {"queries": ["b"]})[0] == 200
    assert [queries for queries, _ in echo.calls if "gone" in queries] == []


# -- many clients -----------------------------------------------------------------------------------------------------


def test_unfinished_heads_make_room_for_honest_clients_and_are_told():
    with served(limits=Limits(connections=8)) as url, ExitStack() as stack:
        hostile = [stack.enter_context(opened(url, HEAD)) for _ in range(8)]
        time.sleep(1.1 * PATIENCE_SECONDS)
        for _ in range(12):
            assert ask(url, {"queries": ["a"]})[0] == 200
        assert hostile[0].recv(4096).startswith(b"HTTP/1.1 503 ")
        assert is_closed(hostile[0])


def whole(body=b'{"queries": ["a"], "topk": 1}'):
    """A request on a connection of its own."""
    return HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_who_finds_no_room_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(connections_module, "ROOM_SECONDS", 0.1)
    echo = Echo()
    echo.gate.clear()
    with served(echo, limits=Limits(connections=2)) as url, ExitStack() as stack:
        busy = [stack.enter_context(opened(url, whole())) for _ in range(2)]
        until(lambda: echo.calls)
        for _ in range(3):
            status, headers, answer = ask(url, {"queries": ["a"] * 1000})
            assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
            assert "too many connections" in answer["detail"]
        echo.gate.set()
        assert [answer_of(one)[:13] for one in busy] == [b"HTTP/1.1 200 "] * 2
        assert ask(url, {"queries": ["a"]})[0] == 200


def test_many_clients_at_once_wait_and_none_is_cut_off():
    with served(limits=Limits(connections=8)) as url, ExitStack() as stack:
        clients = [stack.enter_context(opened(url, whole())) for _ in range(300)]
        answers = [answer_of(one) for one in clients]
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 200 "}


def test_who_has_sent_something_does_not_make_room(monkeypatch):
    monkeypatch.setattr(connections_module, "PATIENCE_SECONDS", -1.0)
    connections, sockets = Connections(1, 10, 10), socket.socketpair()

    async def room():
        made = connections.protocol()(config=Config(FastAPI()), server_state=ServerState(), app_state={})
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: made, sockets[0])
        transport.pause_reading()
        sockets[1].sendall(b"P")
        yield connections._evict()
        transport.resume_reading()
        await asyncio.sleep(0.01)
        yield connections._evict()

    async def found():
        return [one async for one in room()]

    assert asyncio.run(found()) == [False, True]
    assert sockets[1].recv(4096).startswith(b"HTTP/1.1 503 ")
    sockets[1].close()


def test_one_large_request_does_not_keep_the_others_waiting():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 100_000)
    large = searches.submit([f"large {n}" for n in range(2000)], 1, "large")
    until(lambda: echo.calls)
    small = searches.submit(["small"], 1, "small")
    echo.gate.set()
    assert small.result()[0][0].document.id == "small/0"
    assert len(large.result()) == 2000
    assert [one[0].document.id for one in large.result()] == [f"large {n}/0" for n in range(2000)]
    turn = next(at for at, (queries, _) in enumerate(echo.calls) if "small" in queries)
    assert turn == 1  # of 8: right after the part that was being searched
    searches.close()


def test_clients_have_equal_shares_of_a_batch():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 100_000)
    blocker = searches.submit(["first"], 1, "first")
    until(lambda: echo.calls)
    jobs = [searches.submit([f"{name}{n}" for n in range(400)], 1, name) for name in ("a", "b")]
    echo.gate.set()
    assert blocker.result()
    assert [len(job.result()) for job in jobs] == [400, 400]
    shared = [query[0] for query in echo.calls[1][0]]
    assert abs(shared.count("a") - shared.count("b")) <= 1 < len(shared), "a slow machine searches smaller batches"
    searches.close()


def test_a_small_client_comes_before_any_number_of_large_ones():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 1_000_000)
    blocker = searches.submit(["first"], 100, "blocker")
    until(lambda: echo.calls)
    large = [searches.submit([f"large {n}"] * 300, 100, n) for n in range(50)]
    for _ in range(3):
        small = searches.submit(["small"], 1, "small")
        echo.gate.set()
        assert small.result()[0][0].document.id == "small/0"
    assert blocker.result()
    assert not any(job.done() for job in large)
    for job in large:
        job.cancel()
    searches.close()


def test_a_full_queue_has_room_for_small_requests_of_other_clients():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 100)
    searches.submit(["a"], 1, "blocker")
    until(lambda: echo.calls)
    full = searches.submit(["b"] * 100, 1, "greedy")
    with pytest.raises(QueueFullError):
        searches.submit(["c"] * 65, 1, "late")
    with pytest.raises(QueueFullError):
        searches.submit(["d"], 1, "greedy")
    small = searches.submit(["e"] * 64, 1, "other")
    echo.gate.set()
    assert len(small.result()) == 64
    assert len(full.result()) == 100
    searches.close()


# -- memory -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3 * FREE_BYTES)), max_size=60), st.integers(0, 10))
def test_memory_counts_what_is_held_beyond_the_free_part(takes, room):
    memory, tickets = Memory(room * FREE_BYTES), [Ticket() for _ in range(6)]
    for number, count in takes:
        before = tickets[number].bytes
        taken = memory.take(tickets[number], count)
        assert tickets[number].bytes == before + count * taken
        assert sum(ticket.counted for ticket in tickets) <= room * FREE_BYTES
        assert taken or before + count > FREE_BYTES
    for ticket in tickets:
        memory.release(ticket)
        memory.release(ticket)
    assert memory.take(tickets[0], room * FREE_BYTES + FREE_BYTES)


def test_unfinished_bodies_are_given_up_for_new_ones(monkeypatch):
    monkeypatch.setattr(service_module, "DRAIN_SECONDS", 0.05)
    limits = Limits(memory_bytes=2**20, body_bytes=2**21, body_seconds=20)
    begun = HEAD + b"Content-Length: 1048576\r\n\r\n" + b" " * 600_000
    with served(limits=limits) as url, ExitStack() as stack:
        first = stack.enter_context(opened(url, begun))
        time.sleep(0.2)
        stack.enter_context(opened(url, begun))
        assert first.recv(100).startswith(b"HTTP/1.1 408 ")
        assert ask(url, {"queries": ["a"]})[0] == 200


def test_documents_of_all_requests_have_a_bound():
    class Long(Echo):
        def search(self, queries, k):
            return [[Hit(Document("1", "t", "x" * 400_000), 1.0)] for _ in queries]

    with served(Long(), limits=Limits(memory_bytes=2**20)) as url:
        assert ask(url, {"queries": ["a"], "topk": 1})[0] == 200
        status, headers, answer = ask(url, {"queries": ["a"] * 4, "topk": 1})
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "too much memory" in answer["detail"]
        assert ask(url, {"queries": ["a", "b"], "topk": 1})[0] == 200  # all is given back


@pytest.mark.parametrize("body", [b"[" + b"{}," * 500_000 + b"{}]", b'{"queries": [' + b'"",' * 50_000 + b'""]}'])
def test_a_body_of_many_values_is_refused_before_it_is_parsed(body):
    with pytest.raises(RefusedError, match="more than 9,192 values") as refusal:
        parse_search(body, 3, Limits())
    assert refusal.value.status == 413


def test_commas_within_queries_are_no_values():
    queries = ["a, [b], {c}, " * 100] * 100
    assert parse_search(json.dumps({"queries": queries}).encode(), 3, Limits()).queries == queries


def test_a_long_answer_comes_in_pieces_and_whole():
    class Long(Echo):
        def search(self, queries, k):
            return [[hit(query * 100, rank, k) for rank in range(k)] for query in queries]

    queries = [f"query {number}" for number in range(300)]
    with served(Long()) as url:
        status, headers, answer = ask(url, {"queries": queries, "topk": 2})
    assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
    assert [[one["id"] for one in found] for found in answer["result"]] == [
        [f"{query * 100}/{rank}" for rank in range(2)] for query in queries
    ]


# -- web pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", ""])
@pytest.mark.parametrize(("path", "method"), [("/retrieve", "POST"), ("/health", "GET"), ("/status", "GET")])
def test_a_name_that_a_page_rebinds_is_refused(path, method, host):
    with served() as url:
        status, _, answer = ask(
            url.replace("/retrieve", path), {"queries": ["a"]} if method == "POST" else None, method=method,
            headers={"Host": host},
        )  # fmt: skip
    assert (status, list(answer)) == (421, ["detail"])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:1234", "[::1]:80", "localhost."])
def test_names_of_this_machine_may_ask(host):
    with served() as url:
        assert ask(url, {"queries": ["a"]}, headers={"Host": host})[0] == 200


def test_behind_another_address_any_name_may_ask_that_has_the_token():
    with served(host="0.0.0.0", token=TOKEN) as url:
        here, headers = url.replace("0.0.0.0", "127.0.0.1"), {"Host": "search.example.org"}
        assert ask(here, {"queries": ["a"]}, headers=headers)[0] == 401
        assert ask(here, {"queries": ["a"]}, headers=headers | {"Authorization": f"Bearer {TOKEN}"})[0] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_a_body_that_a_page_may_send_unasked_is_refused(kind):
    with served() as url:
        status, headers, answer = ask(
            url, {"queries": ["a"]}, headers={"Content-Type": kind, "Origin": "http://evil.example"}
        )
        assert status == 415
        assert "application/json" in answer["detail"]
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert ask(url, {"queries": ["a"]}, headers={"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_of_the_token_has_any_case(scheme):
    with served(token=TOKEN) as url:
        assert ask(url, {"queries": ["a"]}, headers={"Authorization": f"{scheme} {TOKEN}"})[0] == 200
        assert ask(url, {"queries": ["a"]}, headers={"Authorization": f"{scheme} {TOKEN[:-1]}"})[0] == 401
        assert ask(url, {"queries": ["a"]}, headers={"Authorization": f"{scheme} {TOKEN.upper()}"})[0] == 401


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_server_that_stops_refuses_what_it_cannot_answer(monkeypatch):
    from rekindle.retrieval import server as server_module

    monkeypatch.setattr(server_module, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(service_module, "DRAIN_SECONDS", 0.05)
    echo = Echo()
    echo.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        with served(echo) as url:
            slow = pool.submit(ask, url, {"queries": ["a"]})
            until(lambda: echo.calls)
            waiting = pool.submit(ask, url, {"queries": ["b"] * 500})
            unfinished = opened(url, HEAD + b"Content-Length: 100\r\n\r\n{")
            until(lambda: ask(url.replace("/retrieve", "/health"), method="GET")[2]["in_flight"] == 3)
            threading.Timer(1.0, echo.gate.set).start()
        assert [one.result()[0] for one in (slow, waiting)] == [503, 503]
        assert unfinished.recv(100).startswith(b"HTTP/1.1 503 ")
        unfinished.close()


def test_the_command_ends_by_sigterm_under_load(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "".join(json.dumps({"id": str(n), "contents": f"Title {n}\nword{n % 7}"}) + "\n" for n in range(50))
    )
    command = [sys.executable, "-m", "rekindle", "serve-retriever", "--corpus", str(corpus), "--port", "0"]
    environment = {**os.environ, "REKINDLE_CACHE": str(tmp_path / "cache")}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    ends = threading.Event()

    def keep_asking(_):
        found = set()
        while not ends.is_set():
            try:
                found.add(ask(url, {"queries": [f"word{n % 7}" for n in range(300)], "topk": 5})[0])
            except OSError:
                break
        return found

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(keep_asking, number) for number in range(6)]
        slow = opened(url, HEAD)
        time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0
        ends.set()
        assert set().union(*(one.result() for one in asked)) <= {200, 503}
    slow.close()
    assert "Traceback" not in server.communicate()[1]


def test_no_error_is_printed_while_clients_come_and_go(capfd):
    with served(limits=Limits(head_seconds=0.05, connections=4)) as url:
        for sent in (b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01" * 9):
            opened(url, sent).close()
        assert ask(url, {"queries": ["a"]})[0] == 200
    assert capfd.readouterr().err == ""


def test_large_bodies_have_turns_and_slow_ones_lose_theirs(monkeypatch):
    monkeypatch.setattr("rekindle.retrieval.bodies.HURRY_SECONDS", 0.2)
    monkeypatch.setattr(service_module, "DRAIN_SECONDS", 0.05)
    begun = HEAD + b"Content-Length: 1048576\r\n\r\n" + b" " * 200_000
    large = {"queries": [f"query {number} " * 20 for number in range(1000)], "topk": 1}
    with served() as url, ExitStack() as stack:
        slow = [stack.enter_context(opened(url, begun)) for _ in range(6)]
        assert ask(url, {"queries": ["a"]})[0] == 200
        status, _, answer = ask(url, large)
        assert (status, len(answer["result"])) == (200, 1000)
        assert slow[0].recv(100).startswith(b"HTTP/1.1 408 ")
