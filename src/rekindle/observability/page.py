"""The parts of an HTML page: sections, figures, tables, tiles, and the document around them.

A page is one file without external resources. Its only script folds sections and filters samples; the content security
policy names it by its hash and forbids all else. Arguments are plain text and are escaped here, except ``content`` and
``chart``, which are HTML from these functions or from ``svg``.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from urllib.parse import quote

__all__ = [
    "Cell",
    "anchor",
    "command",
    "details",
    "document",
    "download",
    "downloads",
    "figure",
    "filters",
    "fold",
    "footer",
    "grid",
    "heading",
    "legend",
    "map_row",
    "more",
    "opening",
    "paragraph",
    "record",
    "sample_list",
    "samples",
    "section",
    "subheading",
    "table",
    "tiles",
]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SECTION = re.compile(r'<section id="([^"]*)".*?<h2>(.*?)</h2>', re.DOTALL)
"""A section as ``section`` writes it. Text of others is escaped, so it cannot look like one."""
_SECTIONS_FOR_CONTENTS = 3
_NARROW_COLUMNS = 3
"""Columns up to which a table fits a phone; the rows of a wider one are folded there."""


def document(title: str, content: str, *, filtered: bool = False) -> str:
    """A complete page, with contents where it has several sections; ``filtered``: it has ``filters``."""
    sections = _SECTION.findall(content)
    contents = _contents(sections) if len(sections) >= _SECTIONS_FOR_CONTENTS else ""
    style, script = _resource("report.css"), _resource("report.js") if filtered or contents else ""
    policy = f"{_POLICY}; script-src '{_digest(script)}'" if script else _POLICY
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body{' class="with-contents"' if contents else ""}>
{contents}
<main id="content">
{content}
</main>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _contents(sections: Sequence[tuple[str, str]]) -> str:
    """Links to the sections: beside the page where it is wide, unfolding above it where it is narrow.

    Args:
        sections: Anchor and name of each, as they stand in the page.
    """
    links = "".join(f'<li><a href="#{place}">{name}</a></li>' for place, name in sections)
    buttons = '<button type="button" class="fold-all" hidden>fold all</button>'
    return (
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'<nav class="side" aria-label="Contents"><h2>Contents</h2><ol>{links}</ol>{buttons}</nav>\n'
        f'<nav class="top" aria-label="Contents"><details><summary>Contents</summary><ol>{links}</ol>{buttons}'
        "</details></nav>"
    )


def _resource(name: str) -> str:
    return files("rekindle.observability").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """The hash of a script, as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def heading(text: str) -> str:
    """The page's heading."""
    return f"<h1>{escape(text)}</h1>"


def footer(text: str) -> str:
    """The page's last line."""
    return f"<footer>{escape(text)}</footer>"


def section(name: str, *content: str) -> str:
    """A section with a heading, which folds it; the contents of the page link to it."""
    return (
        f'<section id="{anchor(name)}"><details class="fold" open><summary><h2>{escape(name)}</h2></summary>\n'
        + "\n".join(part for part in content if part)
        + "\n</details></section>"
    )


def anchor(name: str) -> str:
    """Where a section can be linked to: ``"Pool and batch" -> "pool-and-batch"``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "section"


def opening(words: str, chart: str, numbers: str, further: str = "") -> str:
    """The first screen: sentences, the most important chart beside the numbers where there is room, further sentences.

    Args:
        words: Heading and sentences.
        chart: A figure, or "".
        numbers: Tiles.
        further: Sentences below.
    """
    return f'<header>\n{words}\n<div class="opening">\n{chart}\n{numbers}\n</div>\n{further}\n</header>'


def fold(name: str, *content: str) -> str:
    """Content that unfolds on a click."""
    return (
        f'<details class="part"><summary>{escape(name)}</summary>\n' + "\n".join(filter(None, content)) + "\n</details>"
    )


def command(text: str) -> str:
    """A command for a terminal, selected whole by a click."""
    return f'<pre class="command"><code>{escape(text)}</code></pre>'


def download(name: str, text: str, words: str = "CSV", kind: str = "text/csv") -> str:
    """A link that saves ``text`` as the file ``name``; the text is in the page."""
    address = f"data:{kind};charset=utf-8,{quote(text, safe=' ,.-_/()', errors='replace')}".replace(" ", "%20")
    label = f"Save {'the numbers' if kind == 'text/csv' else 'the text'} as {name}"
    return (
        f'<a class="download" download="{escape(name)}" href="{escape(address)}" title="{escape(label)}" '
        f'aria-label="{escape(label)}">{escape(words)}</a>'
    )


def subheading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; ``kind`` is a class of the style sheet (``lead``, ``note``, ``alarm``, ``advice``)."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(
    name: str, chart: str, note: str = "", legend: Mapping[str, str] | None = None, *, data: str = "", kind: str = ""
) -> str:
    """A chart in a card, with heading and note above and the legend below.

    Args:
        name: The heading.
        chart: The drawing.
        note: Above it.
        legend: Colour class by name.
        data: The numbers as CSV, to be saved as a file.
        kind: A further class of the style sheet (``wide``: over the whole width of a grid).
    """
    return (
        f'<figure class="{f"card {kind}".strip()}">\n{download(f"{anchor(name)}.csv", data) if data else ""}'
        f"<h3>{escape(name)}</h3>\n"
        + (f'<p class="note">{escape(note)}</p>\n' if note else "")
        + chart
        + (f"\n{_legend(legend)}" if legend else "")
        + "\n</figure>"
    )


def downloads(*entries: tuple[str, str]) -> str:
    """Links that ``download`` makes, each with a sentence about the file."""
    lines = "".join(f"<li>{link} {escape(about)}</li>" for link, about in entries)
    return f'<div class="card"><ul class="files">{lines}</ul></div>'


def legend(colors: Mapping[str, str]) -> str:
    """Names with their colour classes."""
    return _legend(colors)


def _legend(colors: Mapping[str, str]) -> str:
    keys = "".join(f'<li><i class="c-{color}"></i>{escape(entry)}</li>' for entry, color in colors.items())
    return f'<ul class="legend">{keys}</ul>'


def map_row(name: str, chart: str, content: str) -> str:
    """A part of a map, with its heading, and what belongs to it."""
    return f'<figure class="map-row">\n<h4>{escape(name)}</h4>\n{chart}\n{content}\n</figure>'


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


Cell = str | tuple[str, str]
"""Text of a table's cell, or a text and what stands small below it."""


def table(
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    note: str = "",
    *,
    data: str = "",
    kind: str = "",
) -> str:
    """A table in a card; the first column is text, the others are right-aligned numbers.

    Args:
        name: The heading.
        columns: Names of the columns; none are shown where all are empty.
        rows: Their cells.
        note: Above it.
        data: The whole table as CSV, to be saved as a file.
        kind: A further class of the style sheet.
    """
    many = len(columns) > _NARROW_COLUMNS
    labels = [f' data-label="{escape(column)}"' if many else "" for column in columns]

    def line(tag: str, cells: Sequence[Cell]) -> str:
        classes = ("", *[' class="right"'] * (len(cells) - 1))
        attributes = ["".join(pair) for pair in zip(classes, labels if tag == "td" else [""] * len(cells), strict=True)]
        marks = (f"<{tag}{about}>{_cell(cell)}</{tag}>" for about, cell in zip(attributes, cells, strict=True))
        return f"<tr>{''.join(marks)}</tr>"

    head = f"<thead>{line('th', columns)}</thead>" if any(columns) else ""
    body = "\n".join(line("td", row) for row in rows)
    scroll = f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">'
    start = '<table class="many">' if many else "<table>"
    return (
        f'<div class="{f"card {kind}".strip()}">\n{download(f"{anchor(name)}.csv", data) if data else ""}'
        f"<h3>{escape(name)}</h3>\n"
        + (f'<p class="note">{escape(note)}</p>\n' if note else "")
        + f"{scroll}{start}{head}<tbody>{body}</tbody></table></div>\n</div>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    text, below = cell
    return f'<span dir="auto">{escape(text)}</span><small dir="auto">{escape(below)}</small>'


def details(name: str, text: str) -> str:
    """Preformatted text that unfolds on a click."""
    return f"<details>\n<summary>{escape(name)}</summary>\n<pre>{escape(text)}</pre>\n</details>"


def record(name: str, entries: Iterable[tuple[str, str]], attributes: Mapping[str, str] | None = None) -> str:
    """Names and texts that unfold on a click; texts keep their line breaks and writing direction.

    With ``attributes`` it is a sample, which ``filters`` find by its text and by these.
    """
    named = "".join(f' data-{escape(key)}="{escape(value)}"' for key, value in (attributes or {}).items())
    kind = "" if attributes is None else f' class="sample"{named}'
    rows = "".join(f'<dt>{escape(key)}</dt><dd dir="auto">{escape(text)}</dd>' for key, text in entries)
    return f'<details{kind}>\n<summary><bdi>{escape(name)}</bdi></summary>\n<dl class="record">{rows}</dl>\n</details>'


def filters(name: str, choices: Mapping[str, Mapping[str, str]]) -> str:
    """A search field and a selection per attribute of the samples, for the script of the page.

    It is hidden until the script runs, so a page without scripts shows all samples.

    Args:
        name: For assistive technology.
        choices: Attribute -> (value -> text); "" as the value, all samples, comes first by itself.
    """
    selections = "".join(
        f'<label>{escape(key)} <select name="{escape(key)}"><option value="">all</option>'
        + "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options.items())
        + "</select></label>"
        for key, options in choices.items()
    )
    return (
        f'<div class="filters" role="search" aria-label="{escape(name)}" hidden>'
        '<label>search <input type="search" name="search" autocomplete="off" spellcheck="false" aria-keyshortcuts="/">'
        f"</label>{selections}"
        '<button type="button">open or close</button><button type="button">clear</button>'
        '<output aria-live="polite"></output></div>'
    )


def more() -> str:
    """A button that shows more samples, for the script of the page; hidden until it runs."""
    return '<button type="button" class="more" hidden>show more</button>'


def sample_list(name: str, *groups: str) -> str:
    """Groups of samples."""
    return f'<div class="list" role="region" aria-label="{escape(name)}">\n' + "\n".join(groups) + "\n</div>"


def samples(name: str, *content: str) -> str:
    """A group of samples under a heading; the filters hide it where they hide all of its samples."""
    return f'<div class="samples">\n{subheading(name)}\n' + "\n".join(content) + "\n</div>"
