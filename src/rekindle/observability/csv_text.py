"""Columns as CSV for people's spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence

__all__ = ["csv_text", "not_a_formula"]

_FORMULA = tuple("=+-@\t\r\n")
"""What spreadsheets take for a formula at the beginning of a text."""

Value = str | float | None


def csv_text(columns: Mapping[str, Sequence[Value]]) -> str:
    """The columns with a line of names, e.g. ``csv_text({"step": [1, 2], "loss": [0.5, None]})``.

    Numbers keep their digits, None is an empty cell. A text that a spreadsheet would take for a formula gets an
    apostrophe. Columns may differ in length.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    for place in range(max(map(len, columns.values()), default=0)):
        writer.writerow([_cell(column[place]) if place < len(column) else "" for column in columns.values()])
    return text.getvalue()


def not_a_formula(text: str) -> str:
    """A text with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return not_a_formula(value.replace("\r", " "))
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"
