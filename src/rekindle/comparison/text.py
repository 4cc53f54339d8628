"""The comparison as the terminal shows it: what was seen, notes, and the main table."""

from collections.abc import Iterator, Sequence

from rekindle.comparison.comparing import Comparison
from rekindle.comparison.document import Table
from rekindle.comparison.measure_tables import equal_table
from rekindle.comparison.notes import notes
from rekindle.comparison.story import claims

__all__ = ["terminal_text"]


def terminal_text(comparison: Comparison) -> str:
    """Lines of text."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield from claims(comparison)
    yield from notes(comparison)
    if comparison.axis in comparison.equal:
        yield ""
        yield from _table(equal_table(comparison, comparison.axis))


def _table(table: Table) -> Iterator[str]:
    """Columns as wide as their longest cell, two spaces apart."""
    lines: list[Sequence[str]] = [table.columns, *table.rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.columns))]
    yield f"{table.name}:"
    for line in lines:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
