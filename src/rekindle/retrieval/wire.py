r"""The `/retrieve` protocol of Search-R1 (arXiv 2503.09516): request and response bodies as bytes.

    {"queries": ["who was Jeff Porcaro"], "topk": 3, "return_scores": true}
    {"result": [[{"document": {"id": "0", "contents": "\"Jeff Porcaro\"\nA drummer."}, "score": 7.1}]]}
    {"result": [[{"id": "0", "contents": "\"Jeff Porcaro\"\nA drummer."}]]}          (return_scores = false)

``topk`` may be null or 0 for the server's default. Our documents also have "title" and "text".
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rekindle.answers import AnswerError, TooManyError, parse_json
from rekindle.retrieval.corpus import join_contents, split_contents
from rekindle.retrieval.retriever import Hit
from rekindle.types import Document

__all__ = [
    "Limits",
    "NonsenseError",
    "RefusedError",
    "Search",
    "parse_hits",
    "parse_search",
    "render_hits",
    "render_search",
    "well_formed",
]


MAX_ANSWER_VALUES = 20_000
"""Most values of an answer, besides those of the hits that were asked for."""
VALUES_PER_HIT = 32
"""Most values of a hit: id, contents, title, text, score, and what other servers add."""
REQUEST_VALUES = 1000
"""Most values of a request besides its queries."""
PIECE_BYTES = 64 * 2**10
"""Answers are rendered in pieces of about this length."""


class NonsenseError(Exception):
    """An answer that does not follow the protocol; the message gives the difference."""


class RefusedError(Exception):
    """A request that the server refuses.

    Attributes:
        status: HTTP status.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers or {}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server.

    Attributes:
        body_bytes: Bytes of one request.
        memory_bytes: Bytes of all requests, and of the documents found for them, together. Small ones (64 KiB) always
            have room.
        queries: Queries of one request; Search-R1 sends a whole training batch at once.
        query_characters: Characters of one query.
        topk: Documents per query.
        documents: Documents of one answer, all queries together.
        waiting_queries: Queries of all waiting requests; more are answered with 503, but 64 of a client always wait.
        connections: Open connections. Further ones wait; for them, those are closed whose clients have sent no whole
            request for a second.
        head_seconds: Time for a client to send the head of a request.
        body_seconds: Time for a client to send its body.
        search_seconds: Time for a search, with its wait for others; then the answer is 503.
        answer_seconds: Time for a client to read its answer.
    """

    body_bytes: int = 16 * 2**20
    memory_bytes: int = 256 * 2**20
    queries: int = 8192
    query_characters: int = 16_384
    topk: int = 100
    documents: int = 50_000
    waiting_queries: int = 16_384
    connections: int = 2048
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    search_seconds: float = 300.0
    answer_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed request: ``k`` documents for every query, with or without scores."""

    queries: list[str]
    k: int
    scores: bool


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced by question marks; JSON can hold them, UTF-8 cannot."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def render_search(queries: Sequence[str], k: int) -> bytes:
    """The body of a request."""
    return json.dumps({"queries": list(queries), "topk": k, "return_scores": True}).encode()


def parse_search(body: bytes, default_k: int, limits: Limits) -> Search:
    """Read the body of a request; unknown fields are ignored, as in Search-R1.

    Raises:
        RefusedError: The request is malformed (400, 422) or exceeds a limit (413, 422).
    """
    fields = _object(body, limits.queries + REQUEST_VALUES)
    queries, k, scores = fields.get("queries"), fields.get("topk"), fields.get("return_scores", False)
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise RefusedError(422, '"queries" must be a list of strings, e.g. {"queries": ["who wrote Hamlet"]}')
    if isinstance(k, bool) or not isinstance(k, int | None) or (k or 0) < 0:
        raise RefusedError(422, '"topk" must be an integer of at least 1, or null for the default')
    if not isinstance(scores, bool):
        raise RefusedError(422, '"return_scores" must be true or false')
    search = Search([well_formed(query) for query in queries], k or default_k, scores)
    _bound(search, limits)
    return search


def _object(body: bytes, most_values: int) -> dict[str, object]:
    try:
        value = parse_json(body, most_values)
    except TooManyError as error:
        raise RefusedError(413, f"the body has {error}; send fewer queries at a time") from None
    except AnswerError:
        raise RefusedError(400, "the body is not JSON; send an object with a list of queries") from None
    if not isinstance(value, dict):
        raise RefusedError(422, f"the body is {_kind(value)}; send an object with a list of queries")
    return value


def _bound(search: Search, limits: Limits) -> None:
    count, longest = len(search.queries), max(map(len, search.queries), default=0)
    if count > limits.queries:
        raise RefusedError(413, f"{count} queries in one request; send at most {limits.queries} at a time")
    if longest > limits.query_characters:
        raise RefusedError(
            413, f"a query of {longest} characters; send at most {limits.query_characters} characters per query"
        )
    if search.k > limits.topk:
        raise RefusedError(422, f'"topk" is {search.k}; ask for at most {limits.topk}')
    if count * search.k > limits.documents:
        raise RefusedError(
            413, f"{count} queries with {search.k} documents each; ask for at most {limits.documents} documents at once"
        )


def render_hits(results: Sequence[Sequence[Hit]], *, scores: bool) -> Iterator[bytes]:
    """The body of an answer in pieces, rendered one after the other so that a large one never is in memory as a whole.

    A score that is not finite becomes 0.0, because JSON has no NaN.
    """
    as_object = _scored if scores else _bare
    piece = bytearray(b'{"result": [')
    for number, hits in enumerate(results):
        found = json.dumps([as_object(hit) for hit in hits], ensure_ascii=False, allow_nan=False)
        piece += (b", " if number else b"") + well_formed(found).encode()
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"]}"


def _bare(hit: Hit) -> dict[str, object]:
    document = hit.document
    contents = join_contents(document)
    return {"id": document.id, "contents": contents, "title": document.title, "text": document.text}


def _scored(hit: Hit) -> dict[str, object]:
    return {"document": _bare(hit), "score": float(hit.score) if math.isfinite(hit.score) else 0.0}


def parse_hits(body: bytes, queries: int, k: int) -> list[list[Hit]]:
    """Read an answer in either shape: at most ``k`` hits per query, in the server's order, without duplicates.

    Time and memory are bounded by the length of the answer and by the hits that were asked for.

    A document may be an object or just its contents. A missing id becomes a hash of the contents; a missing or
    non-finite score becomes 0.0.

    Raises:
        NonsenseError: The answer does not follow the protocol.
    """
    try:
        value = parse_json(body, MAX_ANSWER_VALUES + VALUES_PER_HIT * queries * k)
    except AnswerError as error:
        raise NonsenseError(str(error)) from None
    results = value.get("result") if isinstance(value, dict) else None
    if not isinstance(results, list) or not all(isinstance(found, list) for found in results):
        raise NonsenseError('no "result" with a list per query')
    if len(results) != queries:
        raise NonsenseError(f"{len(results)} results for {queries} queries")
    return [_distinct(found, k) for found in results]


def _distinct(items: Sequence[object], k: int) -> list[Hit]:
    """The first ``k`` distinct hits; all items are checked."""
    first: dict[str, Hit] = {}
    for hit in map(_hit, items):
        first.setdefault(hit.document.id, hit)
    return list(first.values())[:k]


def _hit(item: object) -> Hit:
    if isinstance(item, dict) and "document" in item:
        return Hit(_document(item["document"]), _score(item.get("score")))
    return Hit(_document(item), 0.0)


def _score(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NonsenseError(f"a score that is {_kind(value)}")
    try:
        score = float(value)
    except OverflowError:
        return 0.0
    return score if math.isfinite(score) else 0.0


def _document(value: object) -> Document:
    fields = {"contents": value} if isinstance(value, str) else value
    if not isinstance(fields, dict):
        raise NonsenseError(f"a document that is {_kind(value)}")
    title, text = fields.get("title"), fields.get("text")
    if not (isinstance(title, str) and isinstance(text, str)):
        contents = fields.get("contents", text)
        if not isinstance(contents, str):
            raise NonsenseError("a document without contents")
        title, text = split_contents(contents)
    title, text = well_formed(title), well_formed(text)
    return Document(_identity(fields.get("id"), title, text), title, text)


def _identity(given: object, title: str, text: str) -> str:
    if isinstance(given, str | int) and not isinstance(given, bool) and given != "":
        return well_formed(str(given))
    if given not in (None, ""):
        raise NonsenseError(f"an id that is {_kind(given)}")
    return "sha256:" + hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:32]


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
