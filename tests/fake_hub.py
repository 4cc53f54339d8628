"""A small server that speaks the Hugging Face hub's protocol for models and data sets, over HTTP on localhost.

Repositories are directories. A repository has one commit per content; ``main`` is the newest. The names of data sets
begin with ``datasets/``, as on the hub.
"""

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


class Hub:
    """Repositories by name.

    Attributes:
        commits: name -> commit -> files by path; the last commit is ``main``.
        branches: name -> branch -> commit of further branches.
        refused: name -> (status, error code) for repositories that may not be read.
        token: Token that opens the refused ones.
        requests: "METHOD path" of every request.
        broken_after: Bytes after which each file's transfer breaks off, once; None: never.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.token = ""
        self.requests: list[str] = []
        self.broken_after: int | None = None
        self.url = ""

    def push(self, name: str, directory: Path) -> str:
        """Add a commit with the files of a directory and its folders; return its hash."""
        return self.push_files(
            name,
            {
                path.relative_to(directory).as_posix(): path.read_bytes()
                for path in sorted(directory.rglob("*"))
                if path.is_file()
            },
        )

    def push_files(self, name: str, files: dict[str, bytes]) -> str:
        """Add a commit with these files; return its hash."""
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
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {unquote(path)}")
        parts = [unquote(part) for part in path.strip("/").split("/")]  # a branch may have slashes in its name
        api = parts[0] == "api"
        is_data = "datasets" in parts[:2]
        if api:
            parts = parts[2:]
        elif is_data:
            parts = parts[1:]
        name = ("datasets/" if is_data else "") + "/".join(parts[:2])
        if name in self.hub.refused and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._refuse(*self.hub.refused[name])
        commits = self.hub.commits.get(name)
        if commits is None:
            return self._refuse(401, "RepoNotFound")
        revision = parts[3] if len(parts) > 3 else "main"
        commit = list(commits)[-1] if revision == "main" else self.hub.branches.get(name, {}).get(revision, revision)
        if commit not in commits:
            return self._refuse(404, "RevisionNotFound")
        if api:
            return self._list(name, commit, commits[commit], tree=parts[2:3] == ["tree"])
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


def forget_sessions() -> None:
    """Let the library make its HTTP sessions anew: it reads the offline switch when it makes one."""
    from huggingface_hub.utils import _http

    for name in ("reset_sessions", "close_session"):  # by version
        getattr(_http, name, lambda: None)()


@contextlib.contextmanager
def used(hub: Hub, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let huggingface_hub talk to this hub alone, with an empty cache."""
    from huggingface_hub import constants

    patch.setenv("HF_ENDPOINT", hub.url)
    patch.setenv("REKINDLE_CACHE", str(cache / "rekindle"))
    patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.delenv("HF_HUB_OFFLINE", raising=False)
    patch.delenv("HF_TOKEN", raising=False)
    forget_sessions()
    yield
    forget_sessions()


def unreachable(patch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub ask at an address where nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")


def offline(patch: pytest.MonkeyPatch) -> None:
    """Set the offline switch of huggingface_hub."""
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_OFFLINE", True)
    patch.setenv("HF_HUB_OFFLINE", "1")
    forget_sessions()


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
