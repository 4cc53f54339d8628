"""Who may search: the token, and requests that a web page makes a browser send.

A page on the web can send requests to a server on this machine. A "simple" one needs no permission of the server, so a
body must be declared as JSON, which a browser sends to another origin only after a question that is not answered (there
are no CORS headers). A page whose name resolves to 127.0.0.1 is of the same origin, but its requests carry that name
in ``Host``, so a server on a loopback address answers to names of this machine only.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from rekindle.remote import LOOPBACK
from rekindle.retrieval.wire import RefusedError

__all__ = ["Access"]


class Access:
    """Checks of the headers of a request.

    Args:
        token: Bearer token that requests must have; None: none.
        loopback: The loopback address that the server listens on; None where other machines reach it.
    """

    def __init__(self, token: str | None, loopback: str | None) -> None:
        self._token = None if token is None else token.encode()
        self._hosts = None if loopback is None else LOOPBACK | {loopback.lower()}

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Refuse a name that is not this machine's (421)."""
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            raise RefusedError(421, "this server is for this machine alone; ask it as 127.0.0.1 or localhost")

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse a search without the token (401), or with a body that is not declared as JSON (415)."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token or b"")
        if self._token is not None and not right:
            raise RefusedError(
                401, "the bearer token is missing or wrong; send the server's token", {"WWW-Authenticate": "Bearer"}
            )
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(415, "the body is not declared as JSON; send Content-Type: application/json")


def _name(host: str) -> str:
    """The name in a Host header, without its port; "" where there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
