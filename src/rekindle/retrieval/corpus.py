r"""A corpus on disk: JSON lines in the format of Search-R1 (arXiv 2503.09516), read as a stream.

    {"id": "0", "contents": "\"Jeff Porcaro\"\nJeffrey Thomas Porcaro was an American drummer."}
    {"id": "1", "title": "Carmine Appice", "text": "Carmine Appice is an American drummer."}

The first line of ``contents`` is the title, in double quotes or not; the rest is the text.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import Document

__all__ = ["join_contents", "open_corpus", "parse_document", "read_corpus", "split_contents"]

_EXAMPLE = '{"id": "0", "contents": "\\"Title\\"\\nText of the passage."}'


def join_contents(document: Document) -> str:
    """``"Title"``, newline, text: a document as Search-R1 writes it."""
    return f'"{document.title}"\n{document.text}'


def split_contents(contents: str) -> tuple[str, str]:
    """Title and text of what :func:`join_contents` or Search-R1 wrote; the quotes of the title are dropped.

    A single line is a text without a title, unless it is in quotes.
    """
    first, newline, rest = contents.partition("\n")
    title = first.strip()
    quoted = len(title) > 1 and title[0] == title[-1] == '"'
    if not newline and not quoted:
        return "", contents
    return title[1:-1] if quoted else title, rest


def open_corpus(path: Path) -> IO[bytes]:
    """Open a corpus for reading bytes.

    Raises:
        RetrievalError: There is no such file, or it cannot be read.
    """
    try:
        if not path.is_file():
            raise RetrievalError(f"there is no corpus {path}; give the path of a JSONL file (retriever.corpus)")
        return path.open("rb")
    except OSError as error:
        raise RetrievalError(
            f"cannot read {path} ({error.strerror or error}); check the file and its permissions"
        ) from error


def read_corpus(path: Path) -> Iterator[Document]:
    """Yield the documents of a corpus in order, one line in memory at a time; blank lines are skipped.

    Unique ids are checked by the index, not here.

    Raises:
        RetrievalError: The file cannot be read, or a line is not a document (with ``file:line``).
    """
    with open_corpus(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield parse_document(line, f"{path}:{number}")


def parse_document(line: bytes, place: str) -> Document:
    """Read one line; ``place`` (``file:line``) begins the error messages."""
    fields = _parse_object(line, place)
    title, text = _title_and_text(fields, place)
    if not (title.strip() or text.strip()):
        raise RetrievalError(f"{place}: the document is empty; give it a text, or leave the line out")
    return Document(_well_formed(_id(fields, place)), _well_formed(title), _well_formed(text))


def _parse_object(line: bytes, place: str) -> dict[str, object]:
    try:
        value = json.loads(line.rstrip().decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise RetrievalError(f"{place}: byte {error.start + 1} is not UTF-8; save the corpus as UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise RetrievalError(
            f"{place}: not valid JSON ({error.msg}, column {error.colno}); every line must be one object, "
            f"e.g. {_EXAMPLE}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise RetrievalError(
            f"{place}: JSON that cannot be read ({error}); every line must be like {_EXAMPLE}"
        ) from error
    if not isinstance(value, dict):
        raise RetrievalError(f"{place}: expected a JSON object, found {type(value).__name__}; write {_EXAMPLE}")
    return value


def _id(fields: dict[str, object], place: str) -> str:
    found = fields.get("id")
    if isinstance(found, bool) or not isinstance(found, int | str) or found == "":
        problem = "there is no id" if found is None else f"the id is {found!r}"
        raise RetrievalError(f'{place}: {problem}; give every document an "id" of its own, a string or an integer')
    return str(found)


def _title_and_text(fields: dict[str, object], place: str) -> tuple[str, str]:
    if "contents" in fields:
        return split_contents(_string(fields, "contents", place))
    if "text" in fields:
        return _string(fields, "title", place) if "title" in fields else "", _string(fields, "text", place)
    raise RetrievalError(f'{place}: there is no "contents"; every line must be like {_EXAMPLE}')


def _string(fields: dict[str, object], name: str, place: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise RetrievalError(f'{place}: "{name}" is {type(value).__name__}, not a string; write it as {_EXAMPLE}')
    return value


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can escape but no tokenizer or server can encode."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
