"""The client against real servers: the documented one, and many that misbehave."""

import hashlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.retrieval import client as module
from rekindle.retrieval.breaker import Breaker
from rekindle.retrieval.client import HttpRetriever
from rekindle.retrieval.retriever import Hit, RetrievalError, RetrieverDown
from rekindle.retrieval.server import RetrieverServer
from rekindle.retrieval.wire import NonsenseError, parse_hits, render_hits
from rekindle.types import Document

TOKEN = "secret-0123456789"


def reference(payload):
    """What Search-R1's server answers, with scores or without."""
    k = payload["topk"] or 3
    found: list[list[Any]] = [
        [{"id": f"{query}/{rank}", "contents": f'"About {query}"\nline 1\nline {rank}'} for rank in range(k)]
        for query in payload["queries"]
    ]
    if payload["return_scores"]:
        found = [[{"document": one, "score": 9.5 - rank} for rank, one in enumerate(hits)] for hits in found]
    return 200, {}, {"result": found}


class Server:
    """Answers request number i with ``script[i]``, and after its end with the last entry.

    An entry is ``(status, headers, body)``, or a function from the payload to one, or one from the handler to None.
    """

    def __init__(self):
        self.script: list[Any] = [reference]
        self.seen, self.headers = [], []
        self.lock, self.release = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/retrieve"

    def answer(self, handler):
        payload = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))))
        with self.lock:
            entry = self.script[min(len(self.seen), len(self.script) - 1)]
            self.seen.append(payload)
            self.headers.append(dict(handler.headers))
        if getattr(entry, "raw", False):
            entry(self, handler)
            handler.close_connection = True
            return
        status, headers, body = entry(payload) if callable(entry) else entry
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def raw(function):
    function.raw = True
    return function


@raw
def hangs(server, handler):
    server.release.wait(20)


@raw
def drips(server, handler):
    """A byte of the body at a time: no single wait is long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.release.wait(0.01):
        handler.wfile.write(b" ")


@raw
def drips_headers(server, handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not server.release.wait(0.01):
        handler.wfile.write(b"x")


@raw
def hangs_up(server, handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


@raw
def cut_short(server, handler):
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"result": [')


@raw
def no_http(server, handler):
    handler.wfile.write(b"220 smtp.example.org ready\r\n")


@raw
def floods(server, handler):
    """A gigabyte, as far as anybody reads it."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        handler.wfile.write(b" " * 1_000_000)
        server.flooded = getattr(server, "flooded", 0) + 1


def says(result):
    return 200, {}, {"result": result}


BUSY = (429, {"Retry-After": "0"}, {"detail": "slow down"})
BROKEN = (500, {}, {"detail": f"out of memory, {TOKEN}"})
FINE = [Hit(Document("q/0", "About q", "line 1\nline 0"), 9.5)]


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def connect(server):
    """``connect(**settings)``: a client of the server, closed at the end."""
    made = []

    def make(url=None, **settings):
        settings = {"timeout_seconds": 5.0, "retries": 2, "backoff_seconds": 0.001} | settings
        made.append(HttpRetriever(url or server.url, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.close()


# -- good servers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("queries", [["a"], ["a", "b"], ["a", "b", "c"], [f"q{n}" for n in range(50)]])
def test_both_answers_of_the_reference_server_are_read(server, connect, queries, scores):
    server.script = [lambda payload: reference(payload | {"return_scores": scores})]
    found = connect().search(queries, 2)
    assert [[hit.document for hit in hits] for hits in found] == [
        [Document(f"{query}/{rank}", f"About {query}", f"line 1\nline {rank}") for rank in range(2)]
        for query in queries
    ]
    assert {hit.score for hits in found for hit in hits} == ({9.5, 8.5} if scores else {0.0})
    assert server.seen == [{"queries": queries, "topk": 2, "return_scores": True}]


def test_a_query_is_asked_once_and_a_blank_one_never(server, connect):
    retriever = connect()
    found = retriever.search(["a", "", "b", "a", " \n", "half \ud83d a pair", "x" * 10_000], 1)
    assert [len(hits) for hits in found] == [1, 0, 1, 1, 0, 1, 1]
    assert found[0] == found[3]
    assert server.seen[0]["queries"] == ["a", "b", "half ? a pair", "x" * 8192]
    assert retriever.search([], 3) == retriever.search([], 3) == []
    assert len(server.seen) == 1


def test_long_lists_are_sent_in_parts_and_come_back_in_order(server, connect):
    queries = [f"q{n}" for n in range(23)]
    found = connect(batch_size=5, concurrency=3).search(queries, 1)
    assert [hits[0].document.id for hits in found] == [f"{query}/0" for query in queries]
    assert sorted(len(payload["queries"]) for payload in server.seen) == [3, 5, 5, 5, 5]


def test_connections_are_used_again(server, connect):
    opened = []
    server.http.get_request = lambda accept=server.http.get_request: opened.append(accept()) or opened[-1]
    retriever = connect(cache_size=0)
    for _ in range(10):
        retriever.search(["q"], 1)
    assert len(server.seen) == 10
    assert len(opened) == 1


@pytest.mark.slow
def test_64_threads_each_get_the_answer_to_their_own_query(server, connect):
    retriever = connect(cache_size=50, concurrency=16, batch_size=2)

    def many(thread):
        for turn in range(6):
            queries = [f"{thread * turn % 40}.{number}" for number in range(3)]
            assert [hits[0].document.id for hits in retriever.search(queries, 1)] == [f"{query}/0" for query in queries]

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(many, range(64)))


def test_our_client_and_our_server_agree():
    documents = [Document(f"{n}", 'A "quoted"\ntitle', f"text {n} \u2028 東京 \0") for n in range(3)]

    class Fixed:
        def search(self, queries, k):
            return [[Hit(one, 1.0 / (rank + 1)) for rank, one in enumerate(documents[:k])] for _ in queries]

        def close(self):
            pass

    server, ready = RetrieverServer(token=TOKEN), threading.Event()
    thread = threading.Thread(target=server.run, args=(Fixed(),), kwargs={"documents": 3, "on_ready": ready.set})
    thread.start()
    ready.wait()
    retriever = HttpRetriever(server.url.removesuffix("/retrieve"), token=TOKEN)
    assert retriever.search(["a", "b"], 2) == Fixed().search(["a", "b"], 2)
    retriever.close()
    server.stop()
    thread.join()


@given(
    st.lists(
        st.lists(
            st.builds(
                Hit,
                st.builds(Document, st.text(st.characters(codec="utf-8"), min_size=1), st.text(), st.text()),
                st.floats(allow_nan=False, allow_infinity=False),
            ),
            max_size=3,
            unique_by=lambda hit: hit.document.id,
        ),
        max_size=3,
    )
)
def test_what_is_written_is_what_is_read(results):
    assert parse_hits(b"".join(render_hits(results, scores=True)), len(results), 9) == results


# -- odd documents ----------------------------------------------------------------------------------------------------


def digest(title, text):
    return "sha256:" + hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("item", "hit"),
    [
        ({"document": {"id": 7, "contents": '"T"\nx'}, "score": 2}, Hit(Document("7", "T", "x"), 2.0)),
        ({"id": "7", "contents": "T\nx"}, Hit(Document("7", "T", "x"), 0.0)),
        ({"contents": '"T"\nx'}, Hit(Document(digest("T", "x"), "T", "x"), 0.0)),
        ({"document": '"T"\nx', "score": 1.5}, Hit(Document(digest("T", "x"), "T", "x"), 1.5)),
        ("only a text", Hit(Document(digest("", "only a text"), "", "only a text"), 0.0)),
        ({"id": "1", "title": "T", "text": "x", "contents": "other"}, Hit(Document("1", "T", "x"), 0.0)),
        ({"id": "1", "text": "x"}, Hit(Document("1", "", "x"), 0.0)),
        ({"id": None, "contents": "x", "url": [1]}, Hit(Document(digest("", "x"), "", "x"), 0.0)),
        ({"document": {"id": "1", "contents": "x"}, "score": float("nan")}, Hit(Document("1", "", "x"), 0.0)),
        ({"document": {"id": "1", "contents": "x"}, "score": float("-inf")}, Hit(Document("1", "", "x"), 0.0)),
        ({"document": {"id": "1", "contents": "x"}, "score": None}, Hit(Document("1", "", "x"), 0.0)),
        ({"document": {"id": "1", "contents": "x"}, "score": 10**400}, Hit(Document("1", "", "x"), 0.0)),
        ({"id": "\ud800", "contents": "\ud800"}, Hit(Document("?", "", "?"), 0.0)),
    ],
)
def test_documents_are_read_in_every_shape(item, hit):
    assert parse_hits(json.dumps({"result": [[item]]}).encode(), 1, 3) == [[hit]]


def test_results_are_cut_to_k_after_duplicates_are_gone():
    items = [{"id": name, "contents": f"{name} {n}"} for n, name in enumerate("aabacd")]
    found = parse_hits(json.dumps({"result": [items]}).encode(), 1, 3)
    assert [hit.document.text for hit in found[0]] == ["a 0", "b 2", "c 4"]


NONSENSE = {
    "not JSON": b"<html>502 Bad Gateway</html>",
    "nothing": b"",
    "deep": b"[" * 100_000,
    "no object": b"[]",
    "no result": b'{"results": []}',
    "no lists": b'{"result": [{"id": "1", "contents": "x"}]}',  # the reference's mistake, return_scores = false
    "fewer": b'{"result": []}',
    "more": b'{"result": [[], []]}',
    "a number": b'{"result": [[7]]}',
    "no contents": b'{"result": [[{"id": "1"}]]}',
    "contents of a kind": b'{"result": [[{"id": "1", "contents": ["x"]}]]}',
    "an id of a kind": b'{"result": [[{"id": [1], "contents": "x"}]]}',
    "a boolean id": b'{"result": [[{"id": true, "contents": "x"}]]}',
    "a score of a kind": b'{"result": [[{"document": {"id": "1", "contents": "x"}, "score": "9"}]]}',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_seen(body):
    with pytest.raises(NonsenseError):
        parse_hits(body, 1, 3)


# -- bad servers ------------------------------------------------------------------------------------------------------

PASSING = {
    "500": BROKEN,
    "503": (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}),
    "429": BUSY,
    "408": (408, {"Retry-After": "never"}, {}),
    "204": (204, {}, b""),
    "html": (200, {}, NONSENSE["not JSON"]),
    "fewer": (200, {}, NONSENSE["fewer"]),
    "hangs up": hangs_up,
    "cut short": cut_short,
    "no http": no_http,
}


@pytest.mark.parametrize("entry", PASSING.values(), ids=PASSING)
def test_temporary_failures_are_retried(server, connect, entry):
    server.script = [entry, entry, reference]
    assert connect().search(["q"], 1) == [FINE]
    assert len(server.seen) == 3


@pytest.mark.parametrize("entry", PASSING.values(), ids=PASSING)
def test_an_endless_answer_is_retriever_down(server, connect, entry):
    server.script = [entry]
    with pytest.raises(RetrieverDown, match=r"/retrieve failed 3 times \(.+\)$"):
        connect().search(["q"], 1)
    assert len(server.seen) == 3


@pytest.mark.parametrize("entry", [hangs, drips, drips_headers])
def test_a_server_that_does_not_come_to_an_end_is_left(server, connect, entry):
    server.script = [entry, reference]
    assert connect(timeout_seconds=1.0).search(["q"], 1) == [FINE]
    server.script = [entry]
    with pytest.raises(RetrieverDown, match=r"failed 2 times \(no whole answer within 0\.1 seconds\)"):
        connect(timeout_seconds=0.1, retries=1).search(["q"], 1)


def test_a_whole_search_has_a_deadline(server, connect):
    server.script = [(503, {"Retry-After": "50"}, {})]
    with pytest.raises(RetrieverDown, match=r"did not answer within 1 seconds in all"):
        connect(deadline_seconds=1.0).search(["q"], 1)
    assert len(server.seen) == 1


def test_a_huge_answer_is_not_read_to_its_end(server, connect, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 2**21)
    server.script = [floods]
    with pytest.raises(RetrieverDown, match="more than 2 MiB"):
        connect(retries=0).search(["q"], 1)
    assert getattr(server, "flooded", 0) < 100


def test_an_unreachable_server_is_retriever_down(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(RetrieverDown, match="failed 2 times"):
            connect(f"http://127.0.0.1:{unused.getsockname()[1]}/retrieve", retries=1).search(["q"], 1)


def test_one_dead_part_is_a_dead_search_and_the_other_parts_end(server, connect):
    server.script = [lambda payload: BROKEN if "q3" in payload["queries"] else reference(payload)]
    retriever = connect(batch_size=1, retries=1)
    with pytest.raises(RetrieverDown, match="500"):
        retriever.search([f"q{n}" for n in range(6)], 1)
    assert retriever.search(["q1"], 1)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ((401, {}, {"detail": "no token"}), "refused the request (401: {.*no token.*}); set retriever.token_env"),
        ((403, {}, {}), "(403: .*); check the token"),
        ((404, {}, b"Not Found"), "(404: Not Found); check the address"),
        ((405, {}, b""), "(405: no message); check the address"),
        ((413, {}, b"big"), "(413: big); ask for fewer"),
        ((422, {}, b"\x1b[31mred\n"), "(422: .31mred); change what it complains about"),
        ((307, {"Location": "http://evil.example/x"}, b""), "redirects to evil.example (307), and a redirect is not"),
        ((301, {}, b""), "redirects to another path (301)"),
    ],
)
def test_a_permanent_refusal_is_an_error_with_its_remedy(server, connect, entry, expected):
    server.script = [entry]
    pattern = (
        expected.replace("(", r"\(").replace(")", r"\)").replace("{", r"\{").replace("}", r"\}").replace("[", r"\[")
    )
    with pytest.raises(RetrievalError, match=pattern):
        connect().search(["q"], 1)
    assert len(server.seen) == 1


# -- the token, proxies, the address ----------------------------------------------------------------------------------


def test_the_token_is_sent_and_never_said(server, connect):
    retriever = connect(token=TOKEN)
    retriever.search(["q"], 1)
    assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    server.script = [BROKEN]
    with pytest.raises(RetrieverDown, match=r"out of memory, \*\*\*") as down:
        retriever.search(["other"], 1)
    assert TOKEN not in str(down.value) + repr(retriever)
    server.script = [reference]
    connect().search(["q"], 1)
    assert "Authorization" not in server.headers[-1]


def test_proxies_of_the_environment_are_not_for_this_machine(server, connect, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert connect().search(["q"], 1) == [FINE]


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:80", "ftp://here", "http://", "http://a:0", "http://a:x", "http://a b", "http://a..b", "http://ä"],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(RetrievalError, match=r"is no http address; give e\.g\. http://127"):
        HttpRetriever(url)


@pytest.mark.parametrize("url", ["http://user:secret@here", "http://here/?token=secret", "http://here/#secret"])
def test_secrets_do_not_belong_into_the_address(url):
    with pytest.raises(RetrievalError, match="has more in it than") as error:
        HttpRetriever(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä"])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(RetrievalError, match=r"token \(retriever.token_env\) is empty or has spaces") as error:
        HttpRetriever("http://127.0.0.1:1", token=token)
    assert not token or token not in str(error.value).replace(" ", "")


def test_without_httpx_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(RetrievalError, match=r'needs httpx.*pip install "rekindle\[search\]"'):
        HttpRetriever("http://127.0.0.1:1")


def test_a_closed_retriever_says_so_and_lets_go_of_who_waits(server):
    server.script = [hangs]
    retriever = HttpRetriever(server.url, timeout_seconds=60)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(retriever.search, ["q"], 1)
        while not server.seen:
            pass
        retriever.close()
        with pytest.raises(RetrieverDown, match="has been closed"):
            waiting.result()
    with pytest.raises(RetrieverDown, match="has been closed"):
        retriever.search(["q"], 1)


# -- bounds of an answer ----------------------------------------------------------------------------------------------


def test_an_answer_of_many_hits_is_refused_before_they_are_made(server, connect):
    server.script = [(200, {}, b'{"result": [[' + b",".join([b'{"contents": "x"}'] * 100_000) + b"]]}")]
    with pytest.raises(RetrieverDown, match="more than 20,096 values"):
        connect(retries=0).search(["q"], 3)


def test_a_server_may_send_more_hits_and_fields_than_it_was_asked_for(server, connect):
    hit = {"document": {"id": "1", "contents": "x", "more": [1, 2, 3]}, "score": 1.0, "debug": {"a": [1] * 20}}
    server.script = [(200, {}, {"result": [[hit | {"document": {"id": str(n), "contents": "x"}} for n in range(200)]]})]
    assert [one.document.id for one in connect(retries=0).search(["q"], 3)[0]] == ["0", "1", "2"]


def test_the_longest_answer_follows_from_what_was_asked(server, connect, monkeypatch):
    monkeypatch.setattr(module, "SMALL_BYTES", 2**20)
    server.script = [(200, {}, {"result": [[{"id": "1", "contents": "x" * 2**21}]]})]
    with pytest.raises(RetrieverDown, match=r"more than 1\.5 MiB"):
        connect(retries=0).search(["q"], 2)
    assert len(connect(retries=0).search(["q"], 8)[0][0].document.text) == 2**21


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "\x1b[2J"])
def test_a_compressed_answer_is_not_unpacked(server, connect, coding):
    server.script = [(200, {"Content-Encoding": coding}, b"\x1f\x8b" + b"x" * 100)]
    with pytest.raises(RetrieverDown, match=r"it is compressed .*, which was not asked for"):
        connect(retries=0).search(["q"], 3)


# -- the cache --------------------------------------------------------------------------------------------------------


def test_answers_are_kept_by_query_and_k_and_the_oldest_go(server, connect):
    retriever = connect(cache_size=2)

    def asked(queries, k):
        before = len(server.seen)
        retriever.search(queries, k)
        return [payload["queries"] for payload in server.seen[before:]]

    assert asked(["a", "b"], 1) == [["a", "b"]]
    assert asked(["a", "b"], 1) == []
    assert asked(["a", "c"], 1) == [["c"]]  # a was used last, so b goes
    assert asked(["a"], 1) == []
    assert asked(["b"], 1) == [["b"]]
    assert asked(["b"], 2) == [["b"]]


def test_failures_are_not_kept_and_what_is_kept_cannot_be_changed(server, connect):
    server.script = [BROKEN, reference]
    retriever = connect(retries=0)
    with pytest.raises(RetrieverDown):
        retriever.search(["q"], 1)
    retriever.search(["q"], 1)[0].clear()
    assert retriever.search(["q"], 1) == [FINE]
    assert len(server.seen) == 2


def test_without_a_cache_everything_is_asked(server, connect):
    retriever = connect(cache_size=0)
    assert retriever.search(["q"], 1) == retriever.search(["q"], 1) == [FINE]
    assert len(server.seen) == 2


# -- the breaker ------------------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_breaker_by_hand():
    clock = Clock()
    breaker = Breaker(failures=3, cooldown_seconds=10, longest_seconds=30, clock=clock)
    for _ in range(2):
        assert breaker.wait() is None
        breaker.failed()
    breaker.succeeded()  # in a row means in a row
    for _ in range(3):
        assert breaker.wait() is None
        breaker.failed()
    assert breaker.wait() == 10
    breaker.failed()  # begun before it opened
    for pause in (10, 20, 30, 30):
        clock.now += pause - 1
        assert breaker.wait() == 1
        clock.now += 1
        assert breaker.wait() is None  # the probe
        assert breaker.wait() == 0  # and nobody else
        breaker.failed()
    clock.now += 30
    assert breaker.wait() is None
    breaker.undecided()
    assert breaker.wait() is None
    breaker.succeeded()
    assert breaker.wait() is None
    for _ in range(3):
        breaker.failed()
    assert breaker.wait() == 10  # the pauses begin anew


def test_a_dead_server_is_left_alone_and_tried_again(server, connect):
    clock = Clock()
    server.script = [BROKEN]
    retriever = connect(retries=0, cache_size=0, breaker=Breaker(2, 10.0, clock=clock))
    for query in ("a", "b"):
        with pytest.raises(RetrieverDown, match="500"):
            retriever.search([query], 1)
    for _ in range(5):
        with pytest.raises(RetrieverDown, match=r"failed too often in a row; it is asked again in 10\.0 seconds"):
            retriever.search(["c"], 1)
    assert len(server.seen) == 2
    clock.now += 10
    with pytest.raises(RetrieverDown, match="500"):
        retriever.search(["c"], 1)
    assert len(server.seen) == 3
    server.script = [reference]
    clock.now += 20
    assert retriever.search(["q"], 1) == retriever.search(["q"], 1) == [FINE]


def test_a_refusal_is_no_failure_of_the_server(server, connect):
    server.script = [(404, {}, b"")]
    retriever = connect(breaker=Breaker(1, 10.0, clock=Clock()))
    for _ in range(3):
        with pytest.raises(RetrievalError, match="404"):
            retriever.search(["q"], 1)
    server.script = [reference]
    assert retriever.search(["q"], 1) == [FINE]


def test_deadlines_open_the_breaker_as_well(server, connect):
    server.script = [hangs]
    retriever = connect(deadline_seconds=0.1, breaker=Breaker(1, 10.0, clock=Clock()))
    with pytest.raises(RetrieverDown, match="in all"):
        retriever.search(["q"], 1)
    with pytest.raises(RetrieverDown, match="too often"):
        retriever.search(["q"], 1)
