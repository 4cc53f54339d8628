"""HTTP server of a retriever, with the `/retrieve` protocol of Search-R1.

    POST /retrieve    see ``rekindle.retrieval.wire``
    GET  /health      {"status": "ok", "documents": 16340, "version": "0.1.0", "in_flight": 0}, without a token
    GET  /status      "ok", without a token (used by SSP)

Errors are answered with {"detail": one sentence}: 400 and 422 malformed request, 401 missing or wrong token, 408 too
slow, 413 too large, 503 (with Retry-After) too busy or failed search.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rekindle import __version__
from rekindle.retrieval.batching import QueueFullError, SearchThread
from rekindle.retrieval.retriever import RetrievalError, Retriever, RetrieverDown
from rekindle.retrieval.wire import Limits, RefusedError, parse_search, render_hits

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI, Request, Response

__all__ = ["RetrieverServer"]

KEEP_ALIVE_SECONDS = 60
"""How long an idle connection is kept; clients return between two turns of a rollout."""
SHUTDOWN_SECONDS = 30
"""Longest wait for requests in flight when the server stops."""
BACKLOG = 2048
"""Most connections waiting to be accepted."""
DRAIN_SECONDS = 5
"""How long the rest of a refused body is read and discarded, so that the client receives the error."""
UNREAD = {401, 408, 413}
"""Error statuses that are sent before the body has been read."""
RETRY_AFTER = {"Retry-After": "1"}


class RetrieverServer:
    """Serves one retriever. The address is bound at construction; requests are answered during :meth:`run`.

    Args:
        host: Address to listen on. A token is required if other machines can reach it.
        port: TCP port; 0 chooses a free one.
        token: Bearer token that requests must send.
        default_k: Documents per query when a request has no ``topk``.
        limits: Limits on requests.

    Attributes:
        url: Address of ``/retrieve``.

    Raises:
        RetrievalError: fastapi or uvicorn is missing, the address cannot be used, or a public address has no token.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        default_k: int = 3,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        _check(host, port, token, default_k, self._limits)
        self._token, self._default_k = token, default_k
        self._socket = _bind(host, port)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._socket.getsockname()[1]}/retrieve"
        self._server: uvicorn.Server | None = None
        self._stopping = False

    def run(self, retriever: Retriever, *, documents: int, on_ready: Callable[[], None] | None = None) -> None:
        """Serve until :meth:`stop`, or SIGINT or SIGTERM in the main thread; then finish the requests in flight.

        Args:
            retriever: Used by one thread only; the caller closes it.
            documents: Its number of documents, for /health.
            on_ready: Called once connections are accepted.
        """
        import uvicorn

        searches = SearchThread(retriever, self._limits.waiting_queries)
        service = _Service(searches, documents, self._token, self._default_k, self._limits)
        try:
            self._server = uvicorn.Server(self._configured(service.app()))
            self._server.should_exit = self._stopping
            _listen(self._socket)
            if on_ready is not None:
                on_ready()
            self._server.run(sockets=[self._socket])
        finally:
            searches.close()
            self.close()

    def _configured(self, app: "FastAPI") -> "uvicorn.Config":
        import uvicorn

        return uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            log_level="error",
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=self._limits.connections,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )

    def stop(self) -> None:
        """End :meth:`run`, from any thread or signal handler; a later :meth:`run` returns at once."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Release the address, unless :meth:`run` has. May be called twice."""
        self._socket.close()


class _Service:
    """Request handlers."""

    def __init__(
        self, searches: SearchThread, documents: int, token: str | None, default_k: int, limits: Limits
    ) -> None:
        self._searches, self._documents, self._limits = searches, documents, limits
        self._default_k = default_k
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._in_flight = 0

    def app(self) -> "FastAPI":
        from fastapi import FastAPI

        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        # Plain routes: bodies are read and checked here, with limits that fastapi does not have.
        app.add_route("/retrieve", self._retrieve, methods=["POST"])
        app.add_route("/health", self._health, methods=["GET"])
        app.add_route("/status", self._status, methods=["GET"])
        return app

    async def _health(self, _: "Request") -> "Response":
        from fastapi.responses import JSONResponse

        return JSONResponse(
            {
                "status": "ok",
                "documents": self._documents,
                "version": __version__,
                "in_flight": self._in_flight,
            }
        )

    async def _status(self, _: "Request") -> "Response":
        from fastapi.responses import JSONResponse

        return JSONResponse("ok")

    async def _retrieve(self, request: "Request") -> "Response":
        from fastapi.responses import JSONResponse, Response

        self._in_flight += 1
        try:
            return Response(await self._answer(request), media_type="application/json")
        except RefusedError as refusal:
            headers = refusal.headers
            if refusal.status in UNREAD:
                await _drain(request)
                headers = headers | {"Connection": "close"}
            return JSONResponse({"detail": str(refusal)}, refusal.status, headers)
        finally:
            self._in_flight -= 1

    async def _answer(self, request: "Request") -> bytes:
        self._authorize(request)
        search = parse_search(await self._body(request), self._default_k, self._limits)
        try:
            found = await asyncio.wrap_future(self._searches.submit(search.queries, search.k))
        except QueueFullError:
            raise RefusedError(503, "too many queries are waiting; ask again later", RETRY_AFTER) from None
        except RetrieverDown as error:
            raise RefusedError(503, f"the search failed ({error}); ask again later", RETRY_AFTER) from None
        return render_hits(found, scores=search.scores)

    def _authorize(self, request: "Request") -> None:
        given = request.headers.get("authorization", "").encode()
        if self._expected is not None and not hmac.compare_digest(given, self._expected):
            raise RefusedError(
                401, "the bearer token is missing or wrong; send the server's token", {"WWW-Authenticate": "Bearer"}
            )

    async def _body(self, request: "Request") -> bytes:
        from starlette.requests import ClientDisconnect

        limit = self._limits.body_bytes
        too_much = RefusedError(413, f"the body is too long; send at most {limit} bytes")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > limit:
            raise too_much
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise too_much
        except TimeoutError:
            raise RefusedError(408, f"the body did not come within {self._limits.body_seconds:g} seconds") from None
        except ClientDisconnect:
            raise RefusedError(400, "the connection ended before the body did") from None
        return bytes(body)


async def _drain(request: "Request") -> None:
    """Read the rest of a refused body: closing on unread bytes resets the connection, and the error would be lost."""
    from starlette.requests import ClientDisconnect

    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: all of it is read
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in request.stream():
                pass


def _check(host: str, port: int, token: str | None, default_k: int, limits: Limits) -> None:
    for module in ("fastapi", "uvicorn"):
        if find_spec(module) is None:
            raise RetrievalError(
                f'a retriever server needs {module}, which is not installed; run: pip install "rekindle[serve]"'
            )
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise RetrievalError("the token is empty or has spaces, line breaks or non-ASCII characters in it; fix it")
    if token is None and not _is_loopback(host):
        raise RetrievalError(
            f"{host} can be reached by other machines, and without a token everybody could search; "
            "set a token, or listen on 127.0.0.1"
        )
    if not 0 <= port < 2**16:
        raise RetrievalError(f"port {port} does not exist; choose one from 1 to 65535, or 0 for a free one")
    if not 1 <= default_k <= limits.topk:
        raise RetrievalError(f"{default_k} documents per query are out of range; choose from 1 to {limits.topk}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; it refuses connections until it listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only when the protocol is named; without it answers come 40 ms late.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # The address of a server that ended a moment ago must be usable again.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _taken(f"{host}, port {port}", error) from None
    return bound


def _listen(bound: socket.socket) -> None:
    try:
        bound.listen(BACKLOG)
    except OSError as error:  # another process listens there by now
        raise _taken("port {1} of {0}".format(*bound.getsockname()), error) from None


def _taken(place: str, error: OSError) -> RetrievalError:
    return RetrievalError(
        f"cannot listen on {place} ({error.strerror or error}); choose another port, or port 0 for a free one"
    )
