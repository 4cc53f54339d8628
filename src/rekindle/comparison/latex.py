"""The tables of a comparison in LaTeX with booktabs, for a paper to include."""

import re
from collections.abc import Iterator

from rekindle.comparison.comparing import Comparison
from rekindle.comparison.content import parts
from rekindle.comparison.document import Table
from rekindle.comparison.story import claims

__all__ = ["latex_text"]

_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "–": r"\textendash{}", "…": r"\ldots{}",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "\ufffd": "?",
}  # fmt: skip
"""What stands for a character of LaTeX's own. Two quotation marks must not become one sign."""
_MINUS, _HYPHENS = re.compile(r"(?<![\w-])-(?=\d)"), re.compile(r"-(?=-)")
_TABLES = {"main": 1, "costs": 1, "target": 2, "course": 1, "further": 2}
"""Tables of a part that a paper may need, by its kind; the first ones."""


def latex_text(comparison: Comparison) -> str:
    """The measured tables, each as a ``table``; every text is escaped."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield r"% Needs \usepackage{booktabs,graphicx,textcomp}, and \usepackage[T1]{fontenc} or a Unicode engine."
    yield "% A table that is wider than the line is made smaller."
    yield "% Intervals: 95 %, paired by seed; p-values: Holm within each table."
    for sentence in claims(comparison):
        yield f"% {_plain(sentence)}"
    for part in parts(comparison):
        for table in part.tables[: _TABLES.get(part.kind, 0)]:
            yield from _table(table, part.heading)


def _table(table: Table, heading: str) -> Iterator[str]:
    yield r"\begin{table}[t]"
    yield r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"  \caption{{{_plain(heading)}. {_plain(table.name)}.}}"
    yield rf"  \sbox0{{\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}"
    yield r"    \toprule"
    yield f"    {' & '.join(map(_plain, table.columns))} \\\\"
    yield r"    \midrule"
    for row in table.rows:
        yield f"    {' & '.join(map(_plain, row))} \\\\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}}%"
    yield r"  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
    yield r"\end{table}"


def _plain(text: str) -> str:
    parts = (_HYPHENS.sub("-{}", "".join(map(_escaped, part))) for part in _MINUS.split(" ".join(text.split())))
    return "$-$".join(parts)


def _escaped(char: str) -> str:
    return _ESCAPED.get(char, char)
