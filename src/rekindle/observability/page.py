"""The parts of an HTML page: sections, figures, tables, tiles, and the document around them.

A page is one file without scripts and external resources; its content security policy forbids both. Arguments are plain
text and are escaped here, except ``content`` and ``chart``, which are HTML from these functions or from ``svg``.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

__all__ = [
    "details",
    "document",
    "figure",
    "footer",
    "grid",
    "heading",
    "paragraph",
    "record",
    "section",
    "subheading",
    "table",
    "tiles",
]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, content: str) -> str:
    """A complete page."""
    style = files("rekindle.observability").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{content}
</body>
</html>
"""


def heading(text: str) -> str:
    """The page's heading."""
    return f"<h1>{escape(text)}</h1>"


def footer(text: str) -> str:
    """The page's last line."""
    return f"<footer>{escape(text)}</footer>"


def section(name: str, *content: str) -> str:
    """A section with a heading."""
    return f"<section>\n<h2>{escape(name)}</h2>\n" + "\n".join(part for part in content if part) + "\n</section>"


def subheading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; ``kind`` is a class of the style sheet (``lead``, ``note``, ``alarm``, ``advice``)."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(name: str, chart: str, note: str = "", legend: Mapping[str, str] | None = None) -> str:
    """A chart in a card, with heading and note above and the legend (colour class by name) below."""
    keys = "".join(f'<li><i class="c-{color}"></i>{escape(entry)}</li>' for entry, color in (legend or {}).items())
    return (
        f'<figure class="card">\n<h3>{escape(name)}</h3>\n'
        + (f'<p class="note">{escape(note)}</p>\n' if note else "")
        + chart
        + (f'\n<ul class="legend">{keys}</ul>' if keys else "")
        + "\n</figure>"
    )


def grid(*content: str) -> str:
    """Cards side by side where the page is wide enough."""
    return '<div class="grid">\n' + "\n".join(part for part in content if part) + "\n</div>"


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Key numbers, each with name, value and a remark (may be empty)."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        + (f'<dd class="note">{escape(remark)}</dd>' if remark else "")
        + "</div>"
        for name, value, remark in entries
    )
    return f'<dl class="tiles">{cells}</dl>'


def table(name: str, columns: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """A table in a card; the first column is text, the others are right-aligned numbers."""

    def line(tag: str, cells: Sequence[str]) -> str:
        classes = ("", *[' class="right"'] * (len(cells) - 1))
        marks = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(classes, cells, strict=True))
        return f"<tr>{''.join(marks)}</tr>"

    head = f"<thead>{line('th', columns)}</thead>" if any(columns) else ""
    body = "\n".join(line("td", row) for row in rows)
    return (
        f'<div class="card">\n<h3>{escape(name)}</h3>\n'
        + (f'<p class="note">{escape(note)}</p>\n' if note else "")
        + f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>\n</div>'
    )


def details(name: str, text: str) -> str:
    """Preformatted text that unfolds on a click."""
    return f"<details>\n<summary>{escape(name)}</summary>\n<pre>{escape(text)}</pre>\n</details>"


def record(name: str, entries: Iterable[tuple[str, str]]) -> str:
    """Names and texts that unfold on a click; texts keep their line breaks and writing direction."""
    rows = "".join(f'<dt>{escape(key)}</dt><dd dir="auto">{escape(text)}</dd>' for key, text in entries)
    return f'<details>\n<summary>{escape(name)}</summary>\n<dl class="record">{rows}</dl>\n</details>'
