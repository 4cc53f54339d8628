"""HTTP server of a retriever, with the `/retrieve` protocol of Search-R1; ``rekindle.retrieval.service`` answers."""

import asyncio
import contextlib
import ipaddress
import resource
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rekindle.retrieval.accepting import MOST_REFUSED, accept_all
from rekindle.retrieval.access import Access
from rekindle.retrieval.batching import SearchThread
from rekindle.retrieval.connections import Connections
from rekindle.retrieval.memory import Memory
from rekindle.retrieval.retriever import RetrievalError, Retriever
from rekindle.retrieval.service import RetrieveService
from rekindle.retrieval.wire import Limits

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["RetrieverServer"]

KEEP_ALIVE_SECONDS = 60
"""How long an idle connection is kept; clients return between two turns of a rollout."""
STOP_SECONDS = 10.0
"""How long a server that stops answers requests in flight; then it refuses them."""
SHUTDOWN_SECONDS = 30
"""Longest wait for connections when the server stops."""
BACKLOG = 4096
"""Most connections waiting to be accepted; the kernel may allow fewer (``net.core.somaxconn``)."""
OTHER_FILES = 96 + MOST_REFUSED
"""Files of the process besides connections."""


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
        self._host, self._token, self._default_k = host, token, default_k
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

        memory = Memory(self._limits.memory_bytes)
        searches = SearchThread(retriever, self._limits.waiting_queries, memory)
        connections = Connections(_most_connections(self._limits), self._limits.head_seconds, KEEP_ALIVE_SECONDS)
        access = Access(self._token, self._host if _is_loopback(self._host) else None)
        service = RetrieveService(
            searches, access, memory, connections, documents=documents, default_k=self._default_k, limits=self._limits
        )

        listening, watched = self._socket, connections.protocol()

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup([])
                self.accepting = asyncio.create_task(accept_all(listening, connections, self._protocol))

            def _protocol(self) -> asyncio.Protocol:
                return watched(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                self.accepting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self.accepting
                listening.close()
                service.stop(STOP_SECONDS)
                await super().shutdown([])

        try:
            self._server = Server(self._configured(service.app()))
            self._server.should_exit = self._stopping
            _listen(self._socket)
            if on_ready is not None:
                on_ready()
            self._server.run()
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


def _most_connections(limits: Limits) -> int:
    """Connections that the process's open files allow."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(limits.connections, max(8, soft - OTHER_FILES)) if soft > 0 else limits.connections


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
        bound.setblocking(False)
        bound.listen(BACKLOG)
    except OSError as error:  # another process listens there by now
        raise _taken("port {1} of {0}".format(*bound.getsockname()), error) from None


def _taken(place: str, error: OSError) -> RetrievalError:
    return RetrievalError(
        f"cannot listen on {place} ({error.strerror or error}); choose another port, or port 0 for a free one"
    )
