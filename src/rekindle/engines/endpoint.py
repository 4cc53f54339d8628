"""Completions from an OpenAI-compatible HTTP server (vLLM, SGLang, llama.cpp, hosted ones): text in, text out.

An endpoint is used for profiling or judging, not for training: it returns no token ids and no exact log-probabilities.
Temporary failures (429, 5xx, time-outs, broken connections, malformed answers) are retried with growing pauses. A
request whose retries fail gives None; a permanent failure is an ``EndpointError``.
"""

import http.client
import json
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from rekindle.answers import AnswerError, deadline_handlers, parse_json, read_body
from rekindle.models.templates import chat_messages
from rekindle.notices import warn
from rekindle.remote import LOOPBACK, TRANSIENT, TransientError, http_address, is_sendable, one_line, retry_after
from rekindle.types import UserError

__all__ = ["Endpoint", "EndpointCompletion", "EndpointError", "EndpointRequest"]

MAX_BYTES = 64 * 2**20
"""Longest answer that is read."""
MAX_ERROR_BYTES = 2**20
"""Longest answer of an error that is read."""
MAX_VALUES = 200_000
"""Most values of an answer: texts and counts; log-probabilities are not asked for."""
MAX_TOKENS = 2**24
"""Largest token count of an answer that is accepted."""
MAX_RETRY_AFTER_SECONDS = 300.0
"""Longest pause that a server's Retry-After can cause."""
MAX_PAUSE_SECONDS = 30.0
"""Longest pause of the exponential backoff."""
REMEDIES = {
    401: "check the API key",
    403: "check the API key and what it is allowed to do",
    404: "check the address (it usually ends in /v1) and the model's name",
}


class EndpointError(UserError):
    """The endpoint cannot be used as configured; the message gives the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """One prompt to complete ``n`` times.

    Attributes:
        prompt: The user's message; with a chat endpoint also a conversation that ends with one.
        n: Number of completions.
        temperature: Sampling temperature.
        max_tokens: Limit of each completion.
        seed: Sent modulo 2^31, the range that all servers accept. Reproducibility is up to the server.
        stop: Texts that end a completion; kept at its end where the server reports which one it was.
        top_p: Smallest set of tokens whose probability reaches it; 1 keeps all.
    """

    prompt: str | Sequence[Mapping[str, str]]
    n: int = 1
    temperature: float = 1.0
    max_tokens: int = 256
    seed: int = 0
    stop: tuple[str, ...] = ()
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class EndpointCompletion:
    """One completion.

    Attributes:
        text: The generated text.
        tokens: Sampled tokens; where the server reports only the sum over several completions, an equal share of it.
        truncated: True when ``max_tokens`` ended it.
        prompt_tokens: Tokens of the rendered prompt; 0 where the server does not report them.
    """

    text: str
    tokens: int
    truncated: bool
    prompt_tokens: int = 0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Turns redirects into errors, because another host must not receive the key."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Endpoint:
    """A model behind an OpenAI-compatible API.

    Args:
        url: Base address, e.g. ``http://127.0.0.1:8000/v1``.
        model: Name of the model on the server.
        api_key: Bearer token; sent to this address alone, never logged.
        timeout_seconds: Limit of one attempt, from the connection to the last byte of the answer.
        retries: Further attempts after a first one that failed.
        concurrency: Most requests in flight.
        chat: Use ``/chat/completions``, where the server applies its chat template; otherwise ``/completions``.
        system_prompt: System message before every prompt; only with ``chat``.
        backoff_seconds: Pause before the second attempt; it doubles with every further one.
        counts_tokens: Refuse a server that does not report sampled tokens; otherwise such counts are 0.

    Raises:
        EndpointError: The address, the key or the system prompt cannot be used.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 300.0,
        retries: int = 4,
        concurrency: int = 16,
        chat: bool = True,
        system_prompt: str | None = None,
        backoff_seconds: float = 1.0,
        counts_tokens: bool = True,
    ) -> None:
        _check(url, api_key, system_prompt, chat)
        self.url, self.model = url.rstrip("/"), model
        self._address = self.url + ("/chat/completions" if chat else "/completions")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._api_key = api_key
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout, self._retries, self._backoff = timeout_seconds, retries, backoff_seconds
        self._concurrency, self._chat, self._system_prompt = concurrency, chat, system_prompt
        self._counts_tokens = counts_tokens
        # Proxies set in the environment are not used for loopback addresses.
        direct = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in LOOPBACK else []
        self._opener = urllib.request.build_opener(_NoRedirects, *direct, *deadline_handlers())

    def complete(self, requests: Sequence[EndpointRequest]) -> Iterator[tuple[int, list[EndpointCompletion] | None]]:
        """Yield ``(index of the request, its n completions)`` once per request, as they arrive; None where it failed.

        Raises:
            EndpointError: The server refuses a request for good.
        """
        ended = threading.Event()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="endpoint")
        try:
            futures = {pool.submit(self._sample, request, ended): row for row, request in enumerate(requests)}
            for future in as_completed(futures):
                yield futures[future], self._result(future)
        finally:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _result(self, future: Future[list[EndpointCompletion]]) -> list[EndpointCompletion] | None:
        try:
            return future.result()
        except TransientError as error:
            warn(f"{self._address} failed {self._retries + 1} times ({error})", stacklevel=3)
            return None

    def _sample(self, request: EndpointRequest, ended: threading.Event) -> list[EndpointCompletion]:
        """All n completions; when a server returns fewer, the rest is requested with another seed."""
        found: list[EndpointCompletion] = []
        while len(found) < request.n:
            payload = self._payload(request, len(found))
            found += self._attempt(payload, request.stop, ended)[: request.n - len(found)]
        return found

    def _payload(self, request: EndpointRequest, already: int) -> bytes:
        values: dict[str, Any] = {
            "model": self.model,
            "n": request.n - already,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            # Far apart, because servers derive the seeds of a request's samples by counting up from its seed.
            "seed": (request.seed + already * 0x9E3779B1) % 2**31,
        }
        if request.stop:
            values["stop"] = list(request.stop)
        if self._chat:
            values["messages"] = [dict(one) for one in chat_messages(request.prompt, self._system_prompt)]
        else:
            values["prompt"] = _plain(request.prompt)
        return json.dumps(values).encode()

    def _attempt(self, payload: bytes, stop: tuple[str, ...], ended: threading.Event) -> list[EndpointCompletion]:
        """Post until the answer is valid, at most ``retries`` + 1 times."""
        for retry in range(self._retries):
            try:
                return self._completions(self._post(payload), stop)
            except TransientError as error:
                # Jitter: requests that were refused together would otherwise come back together.
                own = min(self._backoff * 2**retry, MAX_PAUSE_SECONDS) * random.uniform(0.5, 1.0)
                if ended.wait(max(own, error.pause)):
                    raise
        return self._completions(self._post(payload), stop)

    def _post(self, payload: bytes) -> bytes:
        # The scheme is checked in the constructor.
        request = urllib.request.Request(self._address, payload, self._headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return read_body(response, MAX_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except AnswerError as error:
            raise TransientError(f"a malformed answer: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(one_line(str(error) or type(error).__name__)) from None

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        """The exception of an error status: ``TransientError`` where a retry may help, else ``EndpointError``."""
        if 300 <= error.code < 400:
            target = urlsplit(error.headers.get("Location", "")).netloc or "another path"
            return EndpointError(
                f"{self._address} redirects to {one_line(target)} ({error.code}), and a redirect is not followed, so "
                "that the API key stays here; give the final address"
            )
        message = self._message(error)
        if error.code in TRANSIENT or error.code >= 500:
            return TransientError(
                f"{error.code}: {message}", retry_after(error.headers.get("Retry-After"), MAX_RETRY_AFTER_SECONDS)
            )
        remedy = REMEDIES.get(error.code, "change what it complains about")
        return EndpointError(f"{self._address} refused the request ({error.code}: {message}); {remedy}")

    def _message(self, error: IO[bytes]) -> str:
        """The server's explanation of an error, in any of the usual fields."""
        try:
            body = read_body(error, MAX_ERROR_BYTES)
        except (OSError, http.client.HTTPException, AnswerError):
            body = b""
        try:
            value = parse_json(body, MAX_VALUES)
        except AnswerError:
            return self._quoted(body)
        for name in ("error", "message", "detail"):
            value = value.get(name, value) if isinstance(value, dict) else value
        return self._quoted(str(value).encode(errors="replace"))

    def _quoted(self, answer: bytes) -> str:
        """The server's message on one line, with the key removed."""
        text = answer[:1000].decode(errors="replace")
        return one_line(text.replace(self._api_key, "***") if self._api_key else text) or "no message"

    def _completions(self, body: bytes, stop: tuple[str, ...]) -> list[EndpointCompletion]:
        try:
            answer = parse_json(body, MAX_VALUES)
            texts = [self._text(choice, stop) for choice in answer["choices"]]
            cut = [choice.get("finish_reason") == "length" for choice in answer["choices"]]
            usage = answer.get("usage") or {}
            total, prompt = usage.get("completion_tokens"), usage.get("prompt_tokens") or 0
            sane = bool(texts) and all(_is_count(one) for one in (0 if total is None else total, prompt))
        except (ValueError, LookupError, TypeError, AttributeError):
            sane = False
        if not sane:
            raise TransientError(f"a malformed answer: {self._quoted(body)}")
        if total is None and self._counts_tokens:
            raise EndpointError(
                f"{self._address} does not report usage.completion_tokens, and costs are counted in tokens; "
                "use a server that reports them, such as vLLM or SGLang"
            )
        total = total or 0
        parts = [total // len(texts) + (index < total % len(texts)) for index in range(len(texts))]
        return [EndpointCompletion(*one, prompt) for one in zip(texts, parts, cut, strict=True)]

    def _text(self, choice: dict[str, Any], stop: tuple[str, ...]) -> str:
        text = choice["message"]["content"] if self._chat else choice["text"]
        if text is None and self._chat:  # the model called a tool, or wrote thoughts only
            text = ""
        if not isinstance(text, str):
            raise TypeError("a completion is text")
        text = text.encode(errors="replace").decode()  # JSON can hold lone surrogates, UTF-8 cannot
        # Servers cut off the stop text, which verifiers look for; vLLM and SGLang report which one it was.
        matched = choice.get("stop_reason", choice.get("matched_stop"))
        return text + matched if matched in stop and not text.endswith(matched) else text


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < MAX_TOKENS


def _plain(prompt: str | Sequence[Mapping[str, str]]) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) > 1:
        raise EndpointError(
            "a conversation of several messages needs chat completions; set model.chat_template = true, or give one "
            "message of the user"
        )
    return prompt[0]["content"]


def _check(url: str, api_key: str | None, system_prompt: str | None, chat: bool) -> None:
    parts = http_address(url)
    if parts is None:
        raise EndpointError(f"the endpoint's address {url!r} is no http address; give e.g. http://127.0.0.1:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise EndpointError(
            "the endpoint's address has more in it than scheme, host, port and path; give a key as the API key"
        )
    if api_key is not None and not is_sendable(api_key):
        raise EndpointError("the API key is empty or has spaces, line breaks or non-ASCII characters in it; fix it")
    if system_prompt is not None and not chat:
        raise EndpointError("a system prompt needs chat completions; set chat = true, or put it into the prompts")
