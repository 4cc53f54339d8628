"""Request handlers of the retriever's server.

    POST /retrieve    see ``rekindle.retrieval.wire``
    GET  /health      {"status": "ok", "documents": 16340, "version": "0.1.0", "in_flight": 0}, without a token
    GET  /status      "ok", without a token (used by SSP)

Errors are answered with {"detail": one sentence}: 400 and 422 malformed request, 401 missing or wrong token, 408 too
slow, 413 too large, 415 not declared as JSON, 421 a foreign name on a loopback address, 503 (with Retry-After) too
busy, stopping, or failed search.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from rekindle import __version__
from rekindle.remote import LOOPBACK
from rekindle.retrieval.access import Access
from rekindle.retrieval.batching import QueueFullError, SearchThread
from rekindle.retrieval.bodies import LargeBodies, hasten
from rekindle.retrieval.connections import Connections
from rekindle.retrieval.memory import Memory, Ticket
from rekindle.retrieval.retriever import Hit, RetrieverDown
from rekindle.retrieval.wire import Limits, RefusedError, Search, parse_search, render_hits

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

__all__ = ["RetrieveService"]

DRAIN_SECONDS = 5
"""How long the rest of a refused body is read and discarded, so that the client receives the error."""
UNREAD = {401, 408, 413, 415, 421, 503}
"""Error statuses that may be sent before the body has been read."""
LONG_BODY = 64 * 2**10
"""Bodies of more bytes wait for their turn, and are parsed in a thread, so that others are answered meanwhile."""
RETRY_AFTER = {"Retry-After": "1"}


class RetrieveService:
    """Answers the requests of one server, in its event loop.

    Args:
        searches: Thread with the retriever.
        access: Who may search.
        memory: Room for bodies and for documents found.
        connections: The server's connections.
        documents: Number of documents of the retriever.
        default_k: Documents per query when a request has no ``topk``.
        limits: Limits on requests.
    """

    def __init__(
        self,
        searches: SearchThread,
        access: Access,
        memory: Memory,
        connections: Connections,
        *,
        documents: int,
        default_k: int,
        limits: Limits,
    ) -> None:
        self._searches, self._access, self._memory, self._connections = searches, access, memory, connections
        self._documents, self._default_k, self._limits = documents, default_k, limits
        self._in_flight = 0
        self._bodies: dict[asyncio.Timeout, Ticket] = {}
        """Bodies that are being received, the oldest first."""
        self._large = LargeBodies()
        self._answers: set[asyncio.Timeout] = set()
        self._stopping = False

    def app(self) -> "FastAPI":
        """The application for uvicorn."""
        from fastapi import FastAPI

        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        # Plain routes: bodies are read and checked here, with limits that fastapi does not have.
        app.add_route("/retrieve", self._retrieve, methods=["POST"])
        app.add_route("/health", self._health, methods=["GET"])
        app.add_route("/status", self._status, methods=["GET"])
        return app

    def stop(self, seconds: float) -> None:
        """Refuse bodies that are not here yet; answer the other requests within ``seconds``, then refuse them too."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        for limit in self._bodies:
            hasten(limit, loop.time())
        for limit in self._answers:
            hasten(limit, loop.time() + seconds)
        loop.call_later(seconds + 1, self._connections.abort_all)

    async def _health(self, request: "Request") -> "Response":
        from fastapi.responses import JSONResponse

        facts = {"status": "ok", "documents": self._documents, "version": __version__, "in_flight": self._in_flight}
        return self._to_this_machine(request) or JSONResponse(facts)

    async def _status(self, request: "Request") -> "Response":
        from fastapi.responses import JSONResponse

        return self._to_this_machine(request) or JSONResponse("ok")

    def _to_this_machine(self, request: "Request") -> "Response | None":
        """The refusal of a foreign name; None for others."""
        from fastapi.responses import JSONResponse

        try:
            self._access.check_host(request.headers)
        except RefusedError as refusal:
            return JSONResponse({"detail": str(refusal)}, refusal.status)
        return None

    async def _retrieve(self, request: "Request") -> "Response":
        from fastapi.responses import JSONResponse

        from rekindle.retrieval.pieces import PiecesResponse

        self._in_flight += 1
        ticket = Ticket()

        def ended(*, read: bool) -> None:
            self._in_flight -= 1
            self._memory.release(ticket)
            if not read:
                self._connections.abort(_address(request))

        try:
            search = await self._request(request, ticket)
            found = await self._found(request, search, ticket)
        except RefusedError as refusal:
            headers = refusal.headers
            if refusal.status in UNREAD:
                await _drain(request)
                headers = headers | {"Connection": "close"}
            ended(read=True)
            return JSONResponse({"detail": str(refusal)}, refusal.status, headers)
        except BaseException:
            ended(read=True)
            raise
        return PiecesResponse(render_hits(found, scores=search.scores), self._limit_of_answer, ended)

    async def _request(self, request: "Request", ticket: Ticket) -> Search:
        self._access.check_host(request.headers)
        self._access.check(request.headers)
        body = await self._body(request, ticket)
        if len(body) <= LONG_BODY:
            return parse_search(body, self._default_k, self._limits)
        return await asyncio.to_thread(parse_search, body, self._default_k, self._limits)

    async def _body(self, request: "Request", ticket: Ticket) -> bytes:
        from starlette.requests import ClientDisconnect

        limit = self._limits.body_bytes
        too_much = RefusedError(413, f"the body is too long; send at most {limit} bytes")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > limit:
            raise too_much
        body = bytearray()
        try:
            async with self._receiving(ticket) as time_left, AsyncExitStack() as turn:
                async for chunk in request.stream():
                    if len(body) <= LONG_BODY < len(body) + len(chunk):
                        await turn.enter_async_context(self._large.turn(time_left))
                    body += chunk
                    if len(body) > limit:
                        raise too_much
                    self._make_room(ticket, len(chunk))
        except TimeoutError:
            raise self._late() from None
        except ClientDisconnect:
            raise RefusedError(400, "the connection ended before the body did") from None
        return bytes(body)

    @asynccontextmanager
    async def _receiving(self, ticket: Ticket) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(0 if self._stopping else self._limits.body_seconds) as limit:
            self._bodies[limit] = ticket
            try:
                yield limit
            finally:
                self._bodies.pop(limit, None)

    def _late(self) -> RefusedError:
        if self._stopping:
            return RefusedError(503, "the server is stopping; ask again later", RETRY_AFTER)
        return RefusedError(
            408,
            f"the body did not come within {self._limits.body_seconds:g} seconds, or others needed its memory; "
            "send it again",
        )

    def _make_room(self, ticket: Ticket, count: int) -> None:
        """Let a request hold more memory; bodies that have been coming for the longest time are given up for it."""
        while not self._memory.take(ticket, count):
            others = ((limit, other) for limit, other in self._bodies.items() if other.counted and other is not ticket)
            oldest = next(others, None)
            if oldest is None:
                raise RefusedError(
                    503, "the requests of all clients take too much memory; ask again later", RETRY_AFTER
                )
            limit, other = oldest
            del self._bodies[limit]
            self._memory.release(other)
            hasten(limit, asyncio.get_running_loop().time())

    async def _found(self, request: "Request", search: Search, ticket: Ticket) -> list[list[Hit]]:
        """The hits of a search, unless its client goes away or its time is over."""
        try:
            found = asyncio.wrap_future(self._searches.submit(search.queries, search.k, _client(request), ticket))
            gone = asyncio.create_task(_gone(request))
            either: list[asyncio.Future[Any]] = [found, gone]
            async with self._limit_of_answer(self._limits.search_seconds):
                try:
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    gone.cancel()
                    found.cancel()
            return _result(found)
        except QueueFullError as error:
            raise RefusedError(503, f"{error}; ask again later", RETRY_AFTER) from None
        except RetrieverDown as error:
            raise RefusedError(503, f"the search failed ({error}); ask again later", RETRY_AFTER) from None
        except TimeoutError:
            raise RefusedError(503, "the search took too long; ask for less at a time", RETRY_AFTER) from None

    @contextmanager
    def _counted(self, limit: asyncio.Timeout) -> Iterator[None]:
        self._answers.add(limit)
        try:
            yield
        finally:
            self._answers.discard(limit)

    @asynccontextmanager
    async def _limit_of_answer(self, seconds: float | None = None) -> AsyncIterator[None]:
        """A limit of time that becomes shorter when the server stops.

        Raises:
            TimeoutError: The time is over.
        """
        async with asyncio.timeout(self._limits.answer_seconds if seconds is None else seconds) as limit:
            with self._counted(limit):
                yield


def _result(found: "asyncio.Future[list[list[Hit]]]") -> list[list[Hit]]:
    if found.cancelled() or not found.done():
        raise RefusedError(400, "the connection ended before the search did")
    return found.result()


async def _gone(request: "Request") -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _drain(request: "Request") -> None:
    """Read the rest of a refused body: closing on unread bytes resets the connection, and the error would be lost."""
    from starlette.requests import ClientDisconnect

    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: all of it is read
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in request.stream():
                pass


def _address(request: "Request") -> tuple[str, int] | None:
    return None if request.client is None else (request.client.host, request.client.port)


def _client(request: "Request") -> Sequence[str | int] | None:
    """Who has a share of the search: another machine, or on this machine a connection."""
    address = _address(request)
    return address if address is None or address[0] in LOOPBACK else address[:1]
