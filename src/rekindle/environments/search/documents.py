"""Documents as the policy reads them: formatted, sanitized and cut to the room that is left."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rekindle.environments.search.codec import Codec
from rekindle.environments.search.hostile import PLAINER, Sanitizer
from rekindle.types import Document, UserError

__all__ = ["DocumentWriter", "Written"]

FIELD = re.compile(r"\{([^{}]*)\}")
FIELDS = {"rank", "title", "text"}
CHARACTERS_PER_TOKEN = 32
"""Texts longer than this many characters per allowed token are cut before they are encoded."""


@dataclass(frozen=True, slots=True)
class Written:
    """The documents of one query as tokens.

    Attributes:
        ids: Token ids of all documents, in order.
        cut: Number of documents that were cut or left out.
        marked: Number of documents with a tag or a control string in them, plain or as entities (``&lt;search&gt;``).
    """

    ids: list[int]
    cut: int
    marked: int = 0


class DocumentWriter:
    """Encodes documents as plain text, without tags and control tokens.

    Args:
        codec: Codec of the policy.
        document_format: Format of a document: text with ``{text}`` and optionally ``{rank}`` and ``{title}``.
        document_tokens: Most tokens of one document, its format included.

    Raises:
        UserError: The format cannot be used.
    """

    def __init__(self, codec: Codec, *, document_format: str, document_tokens: int) -> None:
        self._codec = codec
        self._sanitizer = Sanitizer(codec.controls)
        self._check(document_format)
        end = max(match.end() for match in FIELD.finditer(document_format))
        self._format, self._tail = document_format[:end], codec.plain(document_format[end:])
        self._tokens = document_tokens - len(self._tail)
        self._characters = CHARACTERS_PER_TOKEN * document_tokens
        if self._tokens < 1:
            raise UserError(
                f"search.document_tokens = {document_tokens} leaves no room for a document in search.document_format = "
                f"{document_format!r}; raise it"
            )

    def write(self, documents: Sequence[Document], room: int) -> Written:
        """Return the documents in at most ``room`` tokens; the last documents are cut first.

        The tokens are decoded again, to check that they form no tag, within a document or across two. If they do,
        plainer versions of the texts are tried in turn; if none passes, no text is returned.
        """
        raw = [self._filled(rank, document) for rank, document in enumerate(documents, 1)]
        marked = sum(not self._sanitizer.is_sanitized(html.unescape(text)) for text in raw)
        rendered = [self._sanitizer.sanitize(text, 3 * (self._characters + 1)) for text in raw]
        for plainer in PLAINER:
            written = self._encode([plainer(text) for text in rendered], room)
            if self._sanitizer.is_sanitized(self._codec.decode(written.ids)):
                return replace(written, marked=marked)
        return Written([], len(documents), marked)

    def _encode(self, texts: Sequence[str], room: int) -> Written:
        ids: list[int] = []
        cut = 0
        for text in texts:
            whole = self._codec.plain(text[: self._characters])
            piece = whole[: self._tokens] + self._tail
            fitting = piece[: max(0, room - len(ids))]
            cut += len(text) > self._characters or len(whole) > self._tokens or len(fitting) < len(piece)
            ids += fitting
        return Written(ids, cut)

    def _filled(self, rank: int, document: Document) -> str:
        """The format with the texts of a document, as they are."""
        most = self._characters + 1
        values = {
            "rank": str(rank),
            "title": " ".join(document.title[:most].split()),
            "text": document.text[:most],
        }
        return FIELD.sub(lambda match: values[match[1]], self._format)

    def _check(self, document_format: str) -> None:
        names = FIELD.findall(document_format)
        if set(names) - FIELDS or "text" not in names:
            raise UserError(
                f"search.document_format = {document_format!r} must have {{text}} in it, and no other braces than "
                "{rank}, {title} and {text}; correct it"
            )
        if not self._sanitizer.is_sanitized(FIELD.sub(" ", document_format)):
            raise UserError(
                f"search.document_format = {document_format!r} contains a tag or a control string, which documents may "
                "not contain; remove it"
            )
