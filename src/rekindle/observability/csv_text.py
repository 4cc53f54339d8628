"""CSV for people's spreadsheets and data frames."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

__all__ = ["Value", "csv_lines", "csv_text", "not_a_formula"]

_FORMULA = tuple("=+-@\t\r\n")
"""What spreadsheets take for a formula at the beginning of a text."""

Value = str | float | None
"""Content of a cell; None, nan and infinities are an empty one."""


def csv_text(columns: Mapping[str, Sequence[Value]]) -> str:
    """The columns with a line of names, e.g. ``csv_text({"step": [1, 2], "loss": [0.5, None]})``.

    Numbers have six digits at least. Columns may differ in length.
    """
    return csv_lines(list(columns), zip_longest(*columns.values()), digits=6)


def csv_lines(names: Sequence[str], lines: Iterable[Iterable[Value]], *, digits: int | None = None) -> str:
    """A line of names, and lines of as many cells.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.

    Args:
        names: Of the columns.
        lines: Cells of each line.
        digits: Significant digits of numbers that are not whole; None: all.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_cell(name, None) for name in names)
    writer.writerows([_cell(value, digits) for value in line] for line in lines)
    return text.getvalue()


def not_a_formula(text: str) -> str:
    """A text with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(value: Value, digits: int | None) -> str:
    if isinstance(value, str):
        return not_a_formula(value.replace("\r", " "))
    if value is None or not math.isfinite(value):
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value)) if digits is None else f"{value:.{digits}g}"
