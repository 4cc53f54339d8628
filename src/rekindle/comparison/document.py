"""A document of sentences and tables, which HTML, Markdown, LaTeX and the terminal render each in their way."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Part", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of untrusted texts, already cut to length.

    Attributes:
        name: Heading or caption.
        columns: Heads; the first column is text, the others are numbers and findings.
        rows: As many cells as there are columns.
        note: A sentence about it; may be empty.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the document: a heading, sentences, and tables.

    Attributes:
        kind: Name by which a renderer adds figures to it.
    """

    kind: str
    heading: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
