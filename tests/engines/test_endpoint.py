"""A real HTTP server that speaks the OpenAI schema, well and badly."""

import json
import random
import socket
import threading
import time
import warnings
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rekindle.engines.endpoint import Endpoint, EndpointCompletion, EndpointError, EndpointRequest
from rekindle.types import UserError

KEY = "sk-secret-0123456789"


class Server:
    """Answers request number i with ``script[i]``, and after its end with the last entry, which must be callable.

    An entry is ``(status, headers, body)`` or a function from the payload to one.
    """

    def __init__(self):
        self.script, self.seen, self.headers, self.paths = [reply], [], [], []
        self.lock, self.release = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.answer(self)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, handler):
        payload = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))) or b"null")
        with self.lock:
            entry = self.script[min(len(self.seen), len(self.script) - 1)]
            self.seen.append(payload)
            self.headers.append(dict(handler.headers))
            self.paths.append(handler.path)
        found = entry(payload) if callable(entry) else entry
        if found is None:
            self.release.wait(10)
            return
        status, headers, body = found
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


def choice(text, reason="stop", **extra):
    return {"text": text, "message": {"role": "assistant", "content": text}, "finish_reason": reason, **extra}


def answer(*choices, total=None, prompt=5):
    total = 2 * len(choices) if total is None else total
    return 200, {}, {"choices": list(choices), "usage": {"completion_tokens": total, "prompt_tokens": prompt}}


def reply(payload):
    """Response of a working server; the seed is in the text."""
    return answer(*[choice(f"{payload['seed']}.{index}") for index in range(payload["n"])])


BUSY = (429, {"Retry-After": "0"}, {"error": {"message": "slow down"}})
BROKEN = (500, {}, {"error": {"message": "out of memory"}})


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def endpoint(server, **settings):
    settings = {"timeout_seconds": 5.0, "retries": 2, "concurrency": 4, "backoff_seconds": 0.001} | settings
    return Endpoint(server.url, "policy", **settings)


def ask(server, *requests, **settings):
    return dict(endpoint(server, **settings).complete(requests))


def test_a_chat_request_has_everything_in_it_and_comes_back(server):
    server.script = [answer(choice("4", prompt=9), choice("5", "length"), total=7)]
    request = EndpointRequest("2+2=", 2, temperature=0.7, max_tokens=9, seed=3, stop=(";", "."), top_p=0.9)
    found = ask(server, request, system_prompt="Be brief.", api_key=KEY)
    assert found == {0: [EndpointCompletion("4", 4, False, 5), EndpointCompletion("5", 3, True, 5)]}
    assert server.seen == [
        {
            "model": "policy",
            "n": 2,
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 9,
            "seed": 3,
            "stop": [";", "."],
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2="}],
        }
    ]
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_conversation_is_sent_whole_with_its_own_system_message_or_that_of_the_endpoint(server):
    turns = [
        {"role": "user", "content": "2+2="},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "5?"},
    ]
    own = [{"role": "system", "content": "Be kind."}, turns[-1]]
    ask(server, EndpointRequest(turns), EndpointRequest(own), system_prompt="Be brief.", concurrency=1)
    brief = {"role": "system", "content": "Be brief."}
    assert [one["messages"] for one in server.seen] == [[brief, *turns], own]


def test_a_conversation_needs_chat_completions_and_a_single_message_does_not(server):
    message = {"role": "user", "content": "2+2="}
    ask(server, EndpointRequest([message]), chat=False)
    assert server.seen[0]["prompt"] == "2+2="
    with pytest.raises(
        EndpointError, match=r"a conversation of several messages needs chat completions; set model.chat_"
    ):
        ask(server, EndpointRequest([message] * 3), chat=False)


def test_a_plain_completion_has_a_prompt_and_no_key_where_there_is_none(server):
    found = ask(server, EndpointRequest("once upon", seed=2**40 + 11), chat=False)
    assert [one.text for one in found[0]] == ["11.0"]
    assert server.seen[0]["prompt"] == "once upon"
    assert not {"messages", "stop"} & set(server.seen[0])
    assert "Authorization" not in server.headers[0]
    assert server.paths == ["/v1/completions"]


@pytest.mark.parametrize(("total", "parts"), [(8, [2, 2, 2, 2]), (10, [3, 3, 2, 2]), (3, [1, 1, 1, 0]), (0, [0] * 4)])
def test_a_sum_of_tokens_is_split_evenly(server, total, parts):
    server.script = [answer(*[choice("x")] * 4, total=total)]
    assert [one.tokens for one in ask(server, EndpointRequest("p", 4))[0]] == parts


def test_fewer_choices_than_asked_for_are_topped_up_with_other_seeds(server):
    server.script = [lambda payload: answer(*[choice(str(payload["seed"]))] * min(2, payload["n"]))]
    (found,) = ask(server, EndpointRequest("p", 5, seed=7)).values()
    assert [payload["n"] for payload in server.seen] == [5, 3, 1]
    seeds = [payload["seed"] for payload in server.seen]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    assert [one.text for one in found] == [str(seed) for seed in (seeds[0], seeds[0], seeds[1], seeds[1], seeds[2])]


def test_more_choices_than_asked_for_are_cut(server):
    server.script = [answer(*[choice("x")] * 3)]
    assert len(ask(server, EndpointRequest("p", 2))[0]) == 2


def test_many_requests_keep_their_own_answers(server):
    found = ask(server, *[EndpointRequest(f"p{row}", 2, seed=100 * row) for row in range(12)])
    assert {row: [one.text for one in group] for row, group in found.items()} == {
        row: [f"{100 * row}.0", f"{100 * row}.1"] for row in range(12)
    }


def test_concurrency_is_bounded(server):
    busy, peak = defaultdict(int), []

    def slow(payload):
        with server.lock:
            busy["now"] += 1
            peak.append(busy["now"])
        time.sleep(0.02)
        with server.lock:
            busy["now"] -= 1
        return reply(payload)

    server.script = [slow]
    ask(server, *[EndpointRequest("p")] * 9, concurrency=3)
    assert max(peak) <= 3


@pytest.mark.parametrize(
    "bad",
    [
        BUSY,
        BROKEN,
        (503, {}, b"<html>gateway</html>"),
        (200, {}, b"not JSON"),
        (200, {}, {"choices": [], "usage": {"completion_tokens": 0}}),
        (200, {}, {"choices": [{"index": 0}], "usage": {"completion_tokens": 1}}),
        (200, {}, {"choices": [choice(7)], "usage": {"completion_tokens": 1}}),
        (200, {}, {"choices": "x", "usage": {"completion_tokens": 1}}),
        (200, {}, {"choices": [choice("x")], "usage": {"completion_tokens": -1}}),
        (200, {}, {"choices": [choice("x")], "usage": {"completion_tokens": 10**12}}),
        (200, {}, {"choices": [choice("x")], "usage": {"completion_tokens": 1.5}}),
        (200, {}, [1, 2]),
        (200, {}, b"[" * 100_000),
        (200, {"Content-Length": "999"}, b'{"choices"'),
        (204, {}, b""),
    ],
)
def test_temporary_failures_are_retried(server, bad):
    server.script = [bad, bad, reply]
    settings = {"timeout_seconds": 0.5} if "Content-Length" in bad[1] else {}
    assert len(ask(server, EndpointRequest("p", 2), **settings)[0]) == 2
    assert len(server.seen) == 3


def test_a_request_that_keeps_failing_is_none_and_the_others_continue(server):
    server.script = [lambda payload: BROKEN if "bad" in json.dumps(payload) else reply(payload)]
    found = ask(server, EndpointRequest("good", 2), EndpointRequest("bad", 2), EndpointRequest("good", 1))
    assert found[1] is None
    assert [len(found[0]), len(found[2])] == [2, 1]
    assert len(server.seen) == 2 + 3


def test_the_cause_of_a_failure_is_said(server):
    server.script = [BROKEN]
    with pytest.warns(UserWarning, match=r"failed 3 times \(500: out of memory\)"):
        ask(server, EndpointRequest("p"))


def test_a_server_that_hangs_is_left(server):
    server.script = [lambda payload: None, reply]
    assert len(ask(server, EndpointRequest("p"), timeout_seconds=0.2)[0]) == 1
    server.script = [lambda payload: None]
    with pytest.warns(UserWarning, match="timed out"):
        assert ask(server, EndpointRequest("p"), timeout_seconds=0.2, retries=0) == {0: None}


def test_an_unreachable_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        lonely = Endpoint(f"http://127.0.0.1:{free.getsockname()[1]}", "m", retries=1, backoff_seconds=0.001)
        with pytest.warns(UserWarning, match="refused"):
            assert dict(lonely.complete([EndpointRequest("p")])) == {0: None}


def test_the_pause_is_what_the_server_asks_for_or_grows(server, monkeypatch):
    pauses = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: pauses.append(timeout) and False)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    server.script = [BUSY, BROKEN, (429, {"Retry-After": "7"}, {}), BROKEN, BROKEN, BROKEN, reply]
    opened = endpoint(server, retries=6, backoff_seconds=2.0)
    opened._sample(EndpointRequest("p"), threading.Event())
    assert [pause for pause in pauses if pause is not None and pause >= 2] == [2, 4, 8, 16, 30, 30]
    server.seen.clear()
    pauses.clear()
    server.script = [(429, {"Retry-After": "7"}, {}), (503, {"Retry-After": "90000"}, {}), reply]
    opened._sample(EndpointRequest("p"), threading.Event())
    assert [pause for pause in pauses if pause is not None and pause >= 2] == [7, 300]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, {"error": {"message": "bad key"}}, r"refused the request \(401: bad key\); check the API key"),
        (404, {"detail": "Not Found"}, r"\(404: Not Found\); check the address"),
        (400, {"message": "n must be 1"}, r"\(400: n must be 1\); change what"),
        (400, {"error": "no such field"}, r"\(400: no such field\)"),
        (422, b"\x1b[2Jplain\nwords\xff", r"\(422: \[2Jplain words.\)"),
        (400, b"", r"\(400: no message\)"),
    ],
)
def test_a_permanent_refusal_is_one_sentence_with_the_servers_message(server, status, body, sentence):
    server.script = [(status, {}, body)]
    with pytest.raises(EndpointError, match=sentence) as error:
        ask(server, EndpointRequest("p"))
    assert len(server.seen) == 1
    assert "\n" not in str(error.value)
    assert isinstance(error.value, UserError)


def test_an_error_ends_the_requests_that_wait(server):
    server.script = [(400, {}, {"message": "no"})]
    with pytest.raises(EndpointError):
        ask(server, *[EndpointRequest("p")] * 50, concurrency=1)
    assert len(server.seen) < 50


def test_a_redirect_is_not_followed_and_the_key_stays(server):
    other = Server()
    try:
        for status in (301, 302, 303, 307, 308):
            server.script = [(status, {"Location": f"{other.url}/chat/completions"}, {})]
            with pytest.raises(EndpointError, match=rf"redirects to 127\.0\.0\.1:{other.http.server_port}"):
                ask(server, EndpointRequest("p"), api_key=KEY)
        assert other.seen == other.headers == []
    finally:
        other.close()


def test_the_key_is_in_no_message(server):
    opened = endpoint(server, api_key=KEY)
    assert KEY not in repr(opened)
    server.script = [(401, {}, {"error": {"message": f"wrong key {KEY}"}})]
    with pytest.raises(EndpointError, match=r"wrong key \*\*\*") as error:
        list(opened.complete([EndpointRequest("p")]))
    assert KEY not in str(error.value)
    server.script = [(200, {}, f"you said {KEY}".encode())]
    with pytest.warns(UserWarning, match=r"you said \*\*\*"):
        list(opened.complete([EndpointRequest("p")]))


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(server, EndpointRequest("p"))[0]


def test_a_server_without_token_counts_is_refused(server):
    server.script = [(200, {}, {"choices": [choice("x")]})]
    with pytest.raises(EndpointError, match=r"does not report usage\.completion_tokens"):
        ask(server, EndpointRequest("p"))
    server.script = [(200, {}, {"choices": [choice("x")]})]
    (completion,) = ask(server, EndpointRequest("p"), counts_tokens=False)[0]
    assert (completion.text, completion.tokens) == ("x", 0)


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
def test_the_text_that_stopped_it_is_put_back(server, name):
    server.script = [
        answer(choice("a", **{name: "</a>"}), choice("b</a>", **{name: "</a>"}), choice("c", **{name: 128}))
    ]
    found = ask(server, EndpointRequest("p", 3, stop=("</a>",)))[0]
    assert [one.text for one in found] == ["a</a>", "b</a>", "c"]


@pytest.mark.parametrize("count", [0.5, 1e308, "7", [7], {}, -1, 2**24, 10**30])
def test_a_token_count_that_is_none_is_a_malformed_answer(server, count):
    server.script = [answer(choice("a"), total=count), reply]
    found = ask(server, EndpointRequest("p"))
    assert found[0][0].text == "0.0"


def test_an_answer_is_read_within_bounds_of_bytes_values_and_time(server, monkeypatch):
    monkeypatch.setattr("rekindle.engines.endpoint.MAX_BYTES", 2**20)
    monkeypatch.setattr("rekindle.engines.endpoint.MAX_VALUES", 1000)
    server.script = [
        (200, {}, b" " * 2**20 + b"{}"),
        (200, {}, b'{"choices": [' + b"{}," * 2000 + b"{}]}"),
        (200, {}, b"[" * 10_000),
        reply,
    ]
    assert ask(server, EndpointRequest("p"), retries=3)[0][0].text == "0.0"
    assert len(server.seen) == 4


def test_odd_texts(server):
    server.script = [answer(choice(None), choice("\ud800ü"))]
    assert [one.text for one in ask(server, EndpointRequest("p", 2))[0]] == ["", "?ü"]


@pytest.mark.parametrize(
    ("url", "settings", "sentence"),
    [
        ("localhost:8000/v1", {}, "no http address"),
        ("file:///etc/passwd", {}, "no http address"),
        ("http://", {}, "no http address"),
        ("http://host:99999", {}, "no http address"),
        ("http://ho st/v1", {}, "no http address"),
        ("http://user:pw@host/v1", {}, "give a key as the API key"),
        ("http://host/v1?key=1", {}, "give a key as the API key"),
        ("http://host/v1", {"api_key": "two\nlines"}, "line breaks"),
        ("http://host/v1", {"api_key": ""}, "empty"),
        ("http://host/v1", {"chat": False, "system_prompt": "x"}, "chat = true"),
    ],
)
def test_unusable_settings_are_refused_at_once(url, settings, sentence):
    with pytest.raises(EndpointError, match=sentence):
        Endpoint(url, "m", **settings)


def test_a_slash_at_the_end_changes_nothing(server):
    server.url += "/"
    ask(server, EndpointRequest("p"))
    assert server.paths == ["/v1/chat/completions"]
