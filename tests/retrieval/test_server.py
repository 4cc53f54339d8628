"""The server as clients of Search-R1 see it: real sockets, a tiny retriever behind them."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from rekindle import __version__
from rekindle.retrieval import server as module
from rekindle.retrieval import service as service_module
from rekindle.retrieval.batching import QueueFullError, SearchThread
from rekindle.retrieval.retriever import Hit, RetrievalError, RetrieverDown
from rekindle.retrieval.server import RetrieverServer
from rekindle.retrieval.wire import Limits
from rekindle.types import Document

TOKEN = "secret-0123456789"


class Echo:
    """Finds documents that say which query and rank they are for; notes what it was asked."""

    def __init__(self):
        self.calls, self.closed = [], False
        self.gate = threading.Event()
        self.gate.set()

    def search(self, queries, k):
        self.calls.append((list(queries), k))
        self.gate.wait(10)
        if any("explode" in query for query in queries):
            raise ZeroDivisionError("boom")
        if any("down" in query for query in queries):
            raise RetrieverDown("the index is gone")
        if "short" in queries:
            return []
        return [[hit(query, rank, k) for rank in range(k)] for query in queries]

    def close(self):
        self.closed = True


def hit(query, rank, k):
    return Hit(Document(f"{query}/{rank}", f"Title of {query}", f"text {rank} of {k}"), float(k - rank))


def until(condition):
    while not condition():
        time.sleep(0.001)


@contextmanager
def served(retriever=None, **settings):
    server, ready = RetrieverServer(**settings), threading.Event()
    running = {"documents": 7, "on_ready": ready.set}
    thread = threading.Thread(target=server.run, args=(retriever or Echo(),), kwargs=running)
    thread.start()
    ready.wait()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def shared():
    with served() as url:
        yield url


def ask(url, payload=None, *, method="POST", headers=None):
    """(status, headers, JSON) of one request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        body = payload if isinstance(payload, bytes | None) else json.dumps(payload).encode()
        connection.request(method, parts.path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


# -- Search-R1's schema -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize(("topk", "k"), [(None, 3), (0, 3), (5, 5), ("absent", 3)])
@pytest.mark.parametrize("scores", [True, False, "absent"])
def test_a_search_r1_client_finds_its_schema(shared, count, topk, k, scores):
    queries = [f"query {number}" for number in range(count)]
    payload = {"queries": queries, "topk": topk, "return_scores": scores}
    status, headers, answer = ask(shared, {name: one for name, one in payload.items() if one != "absent"})
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert list(answer) == ["result"]
    assert len(answer["result"]) == count
    for query, found in zip(queries, answer["result"], strict=True):
        documents = [one["document"] for one in found] if scores is True else found
        assert [one["id"] for one in documents] == [f"{query}/{rank}" for rank in range(k)]
        for rank, one in enumerate(documents):
            # How Search-R1 formats it: the first line is the title, the rest is the text.
            title, text = one["contents"].split("\n")[0], "\n".join(one["contents"].split("\n")[1:])
            assert (title, text) == (f'"Title of {query}"', f"text {rank} of {k}")
            assert (one["title"], one["text"]) == (f"Title of {query}", f"text {rank} of {k}")
        if scores is True:
            assert [one["score"] for one in found] == [float(k - rank) for rank in range(k)]


def test_unknown_fields_are_ignored(shared):
    status, _, answer = ask(shared, {"queries": ["a"], "topk": 1, "topk_rerank": 9})
    assert status == 200
    assert len(answer["result"][0]) == 1


def test_any_text_is_a_query_and_any_text_a_document():
    class Odd:
        def search(self, queries, k):
            scores = (float("nan"), float("inf"))
            return [[Hit(Document("\ud800", 'a"\n', query), score) for score in scores] for query in queries]

        def close(self):
            pass

    with served(Odd()) as url:
        texts = ["", "NUL \0", "half \ud83d a pair", "東京", '"a" OR b:*', "x" * 16_384]
        status, _, answer = ask(url, {"queries": texts, "return_scores": True})
    assert status == 200
    assert [found[0]["document"]["text"] for found in answer["result"]] == [
        text.replace("\ud83d", "?") for text in texts
    ]
    assert {one["score"] for found in answer["result"] for one in found} == {0.0}


def test_health_and_status(shared):
    health = shared.replace("/retrieve", "/health")
    status, _, answer = ask(health, method="GET")
    assert (status, answer) == (200, {"status": "ok", "documents": 7, "version": __version__, "in_flight": 0})
    assert ask(shared.replace("/retrieve", "/status"), method="GET")[::2] == (200, "ok")


def test_requests_in_flight_are_counted():
    echo = Echo()
    echo.gate.clear()
    with served(echo) as url, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, url, {"queries": ["a"]}) for _ in range(3)]
        until(lambda: ask(url.replace("/retrieve", "/health"), method="GET")[2]["in_flight"] == 3)
        echo.gate.set()
        assert {future.result()[0] for future in asked} == {200}
        assert ask(url.replace("/retrieve", "/health"), method="GET")[2]["in_flight"] == 0


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "status", "expected"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 9_000, 400, "not JSON"),
        (b"[" * 100_000, 413, "more than 9,192 values"),
        (b"7", 422, "the body is a number"),
        ([], 422, "the body is a list"),
        ({}, 422, '"queries" must be a list of strings'),
        ({"queries": "one"}, 422, '"queries" must be a list of strings'),
        ({"queries": ["a", 7]}, 422, '"queries" must be a list of strings'),
        ({"queries": ["a"], "topk": -1}, 422, '"topk" must be an integer'),
        ({"queries": ["a"], "topk": True}, 422, '"topk" must be an integer'),
        ({"queries": ["a"], "topk": "3"}, 422, '"topk" must be an integer'),
        ({"queries": ["a"], "topk": 101}, 422, "at most 100"),
        ({"queries": ["a"], "return_scores": 1}, 422, '"return_scores" must be true or false'),
        ({"queries": ["a"] * 8193}, 413, "at most 8192 at a time"),
        ({"queries": ["a" * 16_385]}, 413, "at most 16384 characters"),
        ({"queries": ["a"] * 501, "topk": 100}, 413, "at most 50000 documents"),
        (b" " * (16 * 2**20 + 1), 413, "at most 16777216 bytes"),
    ],
)
def test_a_malformed_request_is_refused_in_one_sentence(shared, payload, status, expected):
    got, _, answer = ask(shared, payload)
    assert got == status
    assert list(answer) == ["detail"]
    assert expected in answer["detail"]


@pytest.mark.parametrize(("path", "method", "status"), [("/other", "GET", 404), ("/retrieve", "GET", 405)])
def test_other_addresses_are_refused_in_json(shared, path, method, status):
    got, _, answer = ask(shared.replace("/retrieve", path), method=method)
    assert (got, list(answer)) == (status, ["detail"])


def test_a_body_without_a_length_is_limited_as_well():
    with served(limits=Limits(body_bytes=1000)) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        chunked = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
        connection.request("POST", parts.path, iter([b"x" * 600] * 5), chunked, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(service_module, "DRAIN_SECONDS", 0.05)
    with served(limits=Limits(body_seconds=0.05)) as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(
                b"POST /retrieve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_disconnects_affects_no_other(shared):
    parts = urlsplit(shared)
    begun = b"POST /retrieve HTTP/1.1\r\nContent-Length"
    for sent in (begun, begun + b": 9\r\n\r\n{", b"?\r\n\r\n"):
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(sent)
    assert ask(shared, {"queries": ["a"]})[0] == 200


@pytest.mark.parametrize(
    ("query", "expected"), [("explode", "ZeroDivisionError"), ("down", "gone"), ("short", "0 results")]
)
def test_a_search_that_fails_is_503_and_the_next_one_works(shared, query, expected):
    status, headers, answer = ask(shared, {"queries": [query]})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert expected in answer["detail"]
    assert ask(shared, {"queries": ["fine"]})[0] == 200


def test_a_full_queue_is_503_and_says_when_to_come_back():
    with served(limits=Limits(waiting_queries=1)) as url:
        status, headers, answer = ask(url, {"queries": ["a", "b"]})
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "too many queries are waiting" in answer["detail"]
        assert ask(url, {"queries": ["a"]})[0] == 200


# -- the token --------------------------------------------------------------------------------------------------------


def test_only_the_token_opens_the_search_and_health_needs_none():
    with served(token=TOKEN) as url:
        for headers in (
            {},
            {"Authorization": TOKEN},
            {"Authorization": "Bearer other"},
            {"Authorization": "Bearer \xe9"},
        ):
            status, returned, answer = ask(url, {"queries": ["a"]}, headers=headers)
            assert (status, returned["WWW-Authenticate"]) == (401, "Bearer")
            assert TOKEN not in answer["detail"]
        assert ask(url, {"queries": ["a"]}, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert ask(url.replace("/retrieve", "/health"), method="GET")[0] == 200


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"host": "0.0.0.0"}, "without a token everybody could search"),
        ({"host": "::"}, "without a token everybody could search"),
        ({"host": "example.org"}, "without a token everybody could search"),
        ({"token": ""}, "the token is empty"),
        ({"token": "a b"}, "the token is empty or has spaces"),
        ({"port": 65536}, "port 65536 does not exist"),
        ({"default_k": 0}, "0 documents per query are out of range"),
        ({"default_k": 101}, "choose from 1 to 100"),
    ],
)
def test_a_server_that_should_not_be_is_refused(settings, expected):
    with pytest.raises(RetrievalError, match=expected):
        RetrieverServer(**settings)


def test_with_a_token_other_machines_may_ask():
    with served(host="0.0.0.0", token=TOKEN) as url:
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert ask(here, {"queries": ["a"]}, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200


def test_a_port_in_use_is_said_in_a_sentence(shared):
    with pytest.raises(RetrievalError, match=r"cannot listen on 127\.0\.0\.1, port \d+ \(Address already in use\)"):
        RetrieverServer(port=urlsplit(shared).port)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_without_its_packages_the_extra_is_named(monkeypatch, missing):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(RetrievalError, match=rf'needs {missing}.*pip install "rekindle\[serve\]"'):
        RetrieverServer()


# -- gathering --------------------------------------------------------------------------------------------------------


def test_64_threads_each_get_the_answer_to_their_own_query():
    echo = Echo()

    def many(url, thread):
        for turn in range(8):
            queries = [f"{thread}.{turn}.{number}" for number in range(1 + (thread + turn) % 3)]
            k = 1 + thread % 2
            status, _, answer = ask(url, {"queries": queries, "topk": k})
            assert status == 200
            assert [[one["id"] for one in found] for found in answer["result"]] == [
                [f"{query}/{rank}" for rank in range(k)] for query in queries
            ]

    with served(echo) as url, ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda thread: many(url, thread), range(64)))
    asked = [query for queries, _ in echo.calls for query in queries]
    assert len(asked) == len(set(asked)) == sum(1 + (thread + turn) % 3 for thread in range(64) for turn in range(8))


def test_requests_during_a_search_form_a_batch_with_equal_k():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 1000)
    first = searches.submit(["a"], 1)
    until(lambda: echo.calls)
    later = [searches.submit([name, name + "!"], k) for name, k in (("b", 2), ("c", 3), ("d", 2))]
    later[2].cancel()
    echo.gate.set()
    assert [[hit.document.id for hit in found] for found in first.result()] == [["a/0"]]
    assert [len(hits) for hits in later[1].result()] == [3, 3]
    assert later[0].result()[1][0].document.id == "b!/0"
    searches.close()
    assert echo.calls == [(["a"], 1), (["b", "b!"], 2), (["c", "c!"], 3)]
    with pytest.raises(QueueFullError):
        searches.submit(["late"], 1)


def test_the_queue_is_bounded_by_queries_and_has_room_again():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 4)
    first = searches.submit(["a"], 1)
    until(lambda: echo.calls)
    second = searches.submit(["b"] * 4, 1)
    with pytest.raises(QueueFullError):
        searches.submit(["c"], 1)
    echo.gate.set()
    assert len(first.result()) + len(second.result()) == 5
    assert searches.submit(["c"], 1).result()
    searches.close()


def test_a_failing_request_affects_no_other_of_its_batch():
    echo = Echo()
    echo.gate.clear()
    searches = SearchThread(echo, 1000)
    blocker = searches.submit(["a"], 1)
    until(lambda: echo.calls)
    fine, broken, also_fine = (searches.submit([query], 1) for query in ("b", "explode", "c"))
    echo.gate.set()
    assert blocker.result()
    assert [found.result()[0][0].document.id for found in (fine, also_fine)] == ["b/0", "c/0"]
    with pytest.raises(RetrieverDown, match="ZeroDivisionError: boom"):
        broken.result()
    searches.close()


def test_a_server_that_stops_finishes_what_it_has_begun():
    echo = Echo()
    echo.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        with served(echo) as url:
            answer = pool.submit(ask, url, {"queries": ["a"]})
            until(lambda: echo.calls)
            threading.Timer(0.2, echo.gate.set).start()
        assert answer.result()[0] == 200
    assert not echo.closed  # its owner's to close
    with pytest.raises(OSError, match="refused"):
        ask(url, {"queries": ["a"]})


def test_a_server_that_is_stopped_before_it_runs_ends_at_once():
    server = RetrieverServer()
    with pytest.raises(OSError, match="refused"):  # the address is taken, and nobody answers yet
        ask(server.url, {"queries": ["a"]})
    server.stop()
    server.run(Echo(), documents=1)
    server.close()


def test_who_listens_first_has_the_port():
    first, ready = RetrieverServer(), threading.Event()
    port = urlsplit(first.url).port
    assert port is not None
    second = RetrieverServer(port=port)  # nobody listens yet
    thread = threading.Thread(target=first.run, args=(Echo(),), kwargs={"documents": 1, "on_ready": ready.set})
    thread.start()
    ready.wait()
    with pytest.raises(RetrievalError, match=r"cannot listen on port \d+ of 127\.0\.0\.1"):
        second.run(Echo(), documents=1)
    first.stop()
    thread.join()
