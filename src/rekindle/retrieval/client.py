"""HTTP client of a retriever: for any server with the `/retrieve` protocol of Search-R1 (see ``wire``).

Temporary failures (429, 5xx, time-outs, broken connections, malformed answers) are retried with growing pauses. When
the retries fail too, ``RetrieverDown`` is raised; after several of these in a row a circuit breaker stops all requests
for a while. A permanent failure is a ``RetrievalError``.

    calling threads    look into the cache, then wait for the loop's answer
    loop thread        connections, time limits, pauses, breaker; nothing else touches them
"""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from rekindle.answers import AnswerError, Body
from rekindle.remote import LOOPBACK, TRANSIENT, TransientError, http_address, is_sendable, one_line, retry_after
from rekindle.retrieval.breaker import Breaker
from rekindle.retrieval.hit_cache import HitCache
from rekindle.retrieval.retriever import Hit, RetrievalError, RetrieverDown
from rekindle.retrieval.wire import NonsenseError, parse_hits, render_search, well_formed

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpRetriever"]

MAX_BYTES = 64 * 2**20
"""Longest answer that is read, however much was asked for."""
SMALL_BYTES = 4 * 2**20
"""Longest answer that is read, however little was asked for."""
HIT_BYTES = 256 * 2**10
"""Bytes by which each hit that is asked for makes the longest answer longer."""
CACHE_BYTES = 256 * 2**20
"""Most bytes of the answers in memory."""
MAX_QUERY_CHARACTERS = 8192
"""Longer queries are cut, so that no text of a policy is too long for the server."""
MAX_RETRY_AFTER_SECONDS = 60.0
"""Longest pause that a server's Retry-After can cause."""
MAX_PAUSE_SECONDS = 30.0
"""Longest pause of the exponential backoff."""
CONNECT_SECONDS = 5.0
"""Longest wait for a connection, also where ``timeout_seconds`` is longer."""
REMEDIES = {
    401: "set retriever.token_env to the environment variable with its token",
    403: "check the token and what it is allowed to do",
    404: "check the address, which usually ends in /retrieve",
    405: "check the address, which usually ends in /retrieve",
    413: "ask for fewer queries or documents at once",
}

_T = TypeVar("_T")


class HttpRetriever:
    """A ``Retriever`` behind HTTP. Threads may share one.

    Redirects are not followed. Proxies set in the environment are not used for loopback addresses.

    Args:
        url: Address, e.g. ``http://127.0.0.1:8000/retrieve``; the default path is ``/retrieve``.
        token: Bearer token; sent to this address alone, never logged.
        timeout_seconds: Limit of one attempt, from the connection to the last byte of the answer.
        deadline_seconds: Limit of a whole ``search``, with all attempts and pauses.
        retries: Further attempts after a first one that failed.
        backoff_seconds: Pause before the second attempt; it doubles with every further one.
        batch_size: Queries per request; the batches of a search are sent at the same time.
        concurrency: Most requests in flight.
        cache_size: Answers kept in memory, of ``CACHE_BYTES`` in all (least recently used ones go first); failures are
            not kept.
        breaker: Circuit breaker; default ``Breaker()``.

    Raises:
        RetrievalError: The address or the token cannot be used, or httpx is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_seconds: float = 10.0,
        deadline_seconds: float = 120.0,
        retries: int = 3,
        backoff_seconds: float = 0.5,
        batch_size: int = 64,
        concurrency: int = 8,
        cache_size: int = 100_000,
        breaker: Breaker | None = None,
    ) -> None:
        if find_spec("httpx") is None:
            raise RetrievalError(
                'retriever.kind = "http" needs httpx, which is not installed; run: pip install "rekindle[search]"'
            )
        self.url = _address(url)
        _check_token(token)
        self._token = token
        self._timeout, self._deadline = timeout_seconds, deadline_seconds
        self._retries, self._backoff = retries, backoff_seconds
        self._batch_size, self._concurrency = batch_size, concurrency
        self._cache = HitCache(cache_size, CACHE_BYTES)
        self._breaker = breaker or Breaker()
        self._loop = _LoopThread()
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(concurrency)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Return up to ``k`` hits for every query, in the server's order, without duplicates; a blank query has none.

        Raises:
            RetrieverDown: No answer within the attempts and the deadline, or the circuit breaker is open.
            RetrievalError: The server refuses the request for good.
        """
        wanted = [well_formed(query)[:MAX_QUERY_CHARACTERS] for query in queries]
        found = {query: self._cache.get((query, k)) for query in wanted if query.strip()}
        missing = [query for query, hits in found.items() if hits is None]
        if missing:
            answers = self._loop.run(partial(self._within_deadline, missing, k))
            for query, hits in zip(missing, answers, strict=True):
                found[query] = hits
                self._cache.put((query, k), hits)
        return [list(found.get(query) or ()) for query in wanted]

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._loop.close(self._disconnect)

    # -- in the loop thread -------------------------------------------------------------------------------------------

    async def _disconnect(self) -> None:
        """Cancel the searches that other threads wait for, and close the connections."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _within_deadline(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        batches = [queries[at : at + self._batch_size] for at in range(0, len(queries), self._batch_size)]
        try:
            async with asyncio.timeout(self._deadline), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._batch(batch, k)) for batch in batches]
        except TimeoutError:
            self._breaker.failed()
            raise RetrieverDown(f"{self.url} did not answer within {self._deadline:g} seconds in all") from None
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [hits for task in tasks for hits in task.result()]

    async def _batch(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Send one request, unless the breaker is open, and report the result to the breaker."""
        async with self._slots:
            pause = self._breaker.wait()
            if pause is not None:
                raise RetrieverDown(f"{self.url} failed too often in a row; it is asked again in {pause:.1f} seconds")
            decided = False
            try:
                found = await self._attempts(queries, k)
                decided = True
                self._breaker.succeeded()
                return found
            except RetrieverDown:
                decided = True
                self._breaker.failed()
                raise
            finally:
                if not decided:
                    self._breaker.undecided()

    async def _attempts(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Send a request until the answer is valid, at most ``retries`` + 1 times."""
        payload = render_search(queries, k)
        for retry in range(self._retries + 1):
            try:
                return await self._attempt(payload, len(queries), k)
            except TransientError as error:
                reason, asked = str(error), error.pause
            if retry < self._retries:
                # Jitter: requests that were refused together would otherwise come back together.
                own = min(self._backoff * 2**retry, MAX_PAUSE_SECONDS) * random.uniform(0.5, 1.0)
                await asyncio.sleep(max(own, asked))
        raise RetrieverDown(f"{self.url} failed {self._retries + 1} times ({reason})")

    async def _attempt(self, payload: bytes, queries: int, k: int) -> list[list[Hit]]:
        import httpx

        try:
            async with asyncio.timeout(self._timeout):
                body = await self._post(payload, min(MAX_BYTES, SMALL_BYTES + queries * k * HIT_BYTES))
                # In a thread of its own, so that the limit of time holds: parsing is bounded, but not interrupted.
                return await asyncio.to_thread(parse_hits, body, queries, k)
        except TimeoutError:
            raise TransientError(f"no whole answer within {self._timeout:g} seconds") from None
        except httpx.RequestError as error:
            raise TransientError(one_line(str(error) or type(error).__name__)) from None
        except (NonsenseError, AnswerError) as error:
            raise TransientError(f"a malformed answer: {error}") from None

    async def _post(self, payload: bytes, most: int) -> bytes:
        async with self._connections().stream("POST", self.url, content=payload) as response:
            if (coding := response.headers.get("Content-Encoding", "identity").lower()) not in {"", "identity"}:
                raise NonsenseError(f"it is compressed ({one_line(coding)[:20]}), which was not asked for")
            body = Body(most)
            async for chunk in response.aiter_raw():
                body.add(chunk)
        if response.status_code != 200:
            raise self._refusal(response, body.content)
        return body.content

    def _connections(self) -> "httpx.AsyncClient":
        """The client, created in the event loop that uses it."""
        if self._client is None:
            import httpx

            headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
            if self._token is not None:
                headers["Authorization"] = f"Bearer {self._token}"
            self._client = httpx.AsyncClient(
                headers=headers,
                follow_redirects=False,
                timeout=httpx.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout), pool=None),
                limits=httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency),
                trust_env=urlsplit(self.url).hostname not in LOOPBACK,
            )
        return self._client

    def _refusal(self, response: "httpx.Response", body: bytes) -> Exception:
        """The exception of an error status: ``TransientError`` where a retry may help, else ``RetrievalError``."""
        status = response.status_code
        if 300 <= status < 400:
            target = urlsplit(response.headers.get("Location", "")).netloc or "another path"
            return RetrievalError(
                f"{self.url} redirects to {one_line(target)} ({status}), and a redirect is not followed, so that the "
                "token stays here; give the final address (retriever.url)"
            )
        message = self._quoted(body)
        if status in TRANSIENT or status >= 500:
            return TransientError(
                f"{status}: {message}", retry_after(response.headers.get("Retry-After"), MAX_RETRY_AFTER_SECONDS)
            )
        if status < 300:
            return TransientError(f"status {status} without an answer")
        remedy = REMEDIES.get(status, "change what it complains about")
        return RetrievalError(f"{self.url} refused the request ({status}: {message}); {remedy}")

    def _quoted(self, body: bytes) -> str:
        """The server's message on one line, with the token removed."""
        text = body[:1000].decode(errors="replace")
        return one_line(text.replace(self._token, "***") if self._token else text) or "no message"


class _LoopThread:
    """An event loop in its own thread, so that time limits hold even against a server that sends byte by byte."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="retriever", daemon=True)
        self._thread.start()
        self._closed = False
        self._lock = threading.Lock()

    def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine and wait for its result; an interrupt of the waiting thread cancels the coroutine.

        Raises:
            RetrieverDown: The loop is closed before the work is done.
        """
        with self._lock:
            if self._closed:
                raise RetrieverDown("the retriever has been closed")
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RetrieverDown("the retriever has been closed") from None
        finally:
            future.cancel()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``last``, then stop the loop. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(last(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _address(url: str) -> str:
    parts = http_address(url)
    if parts is None:
        raise RetrievalError(
            f"the retriever's address {url!r} is no http address; give e.g. http://127.0.0.1:8000/retrieve"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise RetrievalError(
            "the retriever's address has more in it than scheme, host, port and path; give a token with "
            "retriever.token_env"
        )
    return url.rstrip("/") + ("" if parts.path.strip("/") else "/retrieve")


def _check_token(token: str | None) -> None:
    if token is not None and not is_sendable(token):
        raise RetrievalError(
            "the retriever's token (retriever.token_env) is empty or has spaces, line breaks or non-ASCII characters "
            "in it; fix it"
        )
