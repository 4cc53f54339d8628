"""The comparison in Markdown."""

from collections.abc import Iterator, Sequence

from rekindle.comparison.comparing import Comparison
from rekindle.comparison.content import explanation, parts
from rekindle.comparison.document import Table
from rekindle.comparison.notes import notes
from rekindle.comparison.story import claims, title

__all__ = ["markdown_text"]

_MARKS = "\\`*_{}[]<>#|~!&$"
"""Characters that have a meaning somewhere in Markdown, in HTML within it, or in its formulas."""


def markdown_text(comparison: Comparison) -> str:
    """Sentences and tables; every text is escaped."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"# {_plain(title(comparison))}\n"
    for sentence in (*claims(comparison), *notes(comparison)):
        yield f"{_plain(sentence)}\n"
    for part in parts(comparison):
        yield f"## {_plain(part.heading)}\n"
        for sentence in part.sentences:
            yield f"{_plain(sentence)}\n"
        for table in part.tables:
            yield from _table(table)
    yield "## What the numbers mean\n"
    for sentence in explanation(comparison):
        yield f"{_plain(sentence)}\n"


def _table(table: Table) -> Iterator[str]:
    yield f"**{_plain(table.name)}**\n"
    yield _row(table.columns)
    yield "|---|" + "---:|" * (len(table.columns) - 1)
    for row in table.rows:
        yield _row(row)
    yield ""
    if table.note:
        yield f"{_plain(table.note)}\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """A text in one line, without a mark that Markdown or HTML would read."""
    escaped = "".join(f"\\{char}" if char in _MARKS else char for char in " ".join(text.split()))
    # A line that begins with one of these is a list, a quotation or a rule.
    return f"\\{escaped}" if escaped[:1] in {"-", "+", "="} and len(escaped) > 1 and escaped[1] in "- =+" else escaped
