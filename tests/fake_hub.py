"""A small server that speaks the Hugging Face hub's protocol for models, over HTTP on localhost.

Repositories are directories. A repository has one commit per content; ``main`` is the newest.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories by name.

    Attributes:
        commits: name -> commit -> files by name; the last commit is ``main``.
        refused: name -> (status, error code) for repositories that may not be read.
        token: Token that opens the refused ones.
        requests: "METHOD path" of every request.
        broken_after: Bytes after which each file's transfer breaks off, once; None: never.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.token = ""
        self.requests: list[str] = []
        self.broken_after: int | None = None
        self.url = ""

    def push(self, name: str, directory: Path) -> str:
        """Add a commit with the files of a directory; return its hash."""
        files = {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}
        commit = hashlib.sha1(b"".join(name.encode() + data for name, data in files.items())).hexdigest()
        self.commits.setdefault(name, {})[commit] = files
        return commit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        if name in self.hub.refused and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._refuse(*self.hub.refused[name])
        commits = self.hub.commits.get(name)
        if commits is None:
            return self._refuse(401, "RepoNotFound")
        revision = parts[5] if api and len(parts) > 5 else "main" if api else parts[3]
        commit = list(commits)[-1] if revision == "main" else revision
        if commit not in commits:
            return self._refuse(404, "RevisionNotFound")
        if api:
            return self._list(name, commit, commits[commit], tree=len(parts) > 4 and parts[4] == "tree")
        return self._file(commit, commits[commit].get("/".join(parts[4:])), body=body)

    def _list(self, name: str, commit: str, files: dict[str, bytes], *, tree: bool) -> None:
        if tree:
            rows = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files.items()
            ]
            return self._send(200, json.dumps(rows).encode())
        siblings = [{"rfilename": path} for path in files]
        return self._send(200, json.dumps({"id": name, "modelId": name, "sha": commit, "siblings": siblings}).encode())

    def _file(self, commit: str, data: bytes | None, *, body: bool) -> None:
        if data is None:
            return self._refuse(404, "EntryNotFound")
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0] or 0)
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return
        limit, self.hub.broken_after = self.hub.broken_after, None
        self.wfile.write(data[start:] if limit is None else data[start : start + limit])
        self.close_connection = limit is not None

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "refused"}', code)

    def _send(self, status: int, data: bytes, code: str | None = None) -> None:
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", "refused")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port; its address is ``hub.url``."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
