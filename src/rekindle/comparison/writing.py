"""Files of a comparison, by the ending of their names."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rekindle.comparison.comparing import Comparison
from rekindle.comparison.figure import pdf_figure, svg_figure
from rekindle.comparison.html import html_page
from rekindle.comparison.latex import latex_text
from rekindle.comparison.markdown import markdown_text
from rekindle.comparison.tidy import csv_text
from rekindle.evaluation.atomic_write import atomic_write
from rekindle.types import UserError

__all__ = ["FORMATS", "check_files", "write_files"]

FORMATS: Mapping[str, Callable[[Comparison], str | bytes]] = {
    ".html": html_page,
    ".md": markdown_text,
    ".csv": csv_text,
    ".tex": latex_text,
    ".svg": svg_figure,
    ".pdf": pdf_figure,
}
"""Ending of a file's name -> what writes it."""


def check_files(paths: Sequence[Path]) -> None:
    """Refuse files that could not be written, before anything is read.

    Raises:
        UserError: The ending of a name is unknown, or the name is that of a directory.
    """
    for path in paths:
        if path.suffix.lower() not in FORMATS:
            raise UserError(f"--out {path}: the ending says the format; choose one of {', '.join(FORMATS)}")
        if path.is_dir():
            raise UserError(f"--out {path} is a directory; give a file in it, e.g. {path / 'comparison.html'}")


def write_files(comparison: Comparison, paths: Sequence[Path]) -> None:
    """Write each file whole or not at all.

    Raises:
        UserError: A file cannot be written, or the comparison has nothing for its format.
    """
    for path in paths:
        content = FORMATS[path.suffix.lower()](comparison)
        # A policy's text may contain lone surrogates, which UTF-8 cannot encode.
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        with atomic_write(path, UserError, "choose another --out") as partial:
            partial.write_bytes(data)
