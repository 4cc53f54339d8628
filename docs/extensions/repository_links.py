"""Links from pages to files of the repository: each such file becomes a page of the site, highlighted, with anchors.

A link to a file outside docs/ works where the Markdown is read, and in the site. Its anchor is the name of a function
or a class (``tests/test_gate.py#collected``). What is not there is a warning, which a strict build refuses.
"""

import ast
import html
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["SCHEME", "definitions", "relinked", "setup"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmark_scripts.md",
}
"""Files outside docs/ whose contents a page has."""
OURS = {".md", ".svg", ".png"}
SCHEME = "repository"
"""The scheme of a link to a file: ``repository:tests/fast.py#has``."""
_TEXT = re.compile(
    r"(?P<code>^```.*?^```|``.+?``|`[^`\n]+`)"
    r"|\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)"
    r"|(?<!\[)\barXiv (?P<paper>\d{4}\.\d{4,5})",
    re.DOTALL | re.MULTILINE,
)
LOGGER = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Turn links into ones with our scheme, then these into addresses of the files' pages, and add the pages."""
    app.connect("source-read", _read)
    app.connect("doctree-read", _resolve)
    app.connect("env-purge-doc", _forget)
    app.connect("html-collect-pages", _pages)
    app.connect("html-page-context", _Navigation().share, priority=100)
    return {"parallel_read_safe": False}


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    here = (Path(app.srcdir) / page).parent
    source[0] = relinked(source[0], here, here)


def relinked(text: str, before: Path, after: Path) -> str:
    """Markdown with links that were relative to one folder relative to another, and linked arXiv ids.

    Links to files that are no pages get our scheme. What leads nowhere stays, and Sphinx warns.
    """

    def moved(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        if found["paper"]:
            return f"[arXiv {found['paper']}](https://arxiv.org/abs/{found['paper']})"
        return f"]({_address((before / found['target']).resolve(), found['anchor'] or '', after.resolve())})"

    return _TEXT.sub(moved, text)


def _address(target: Path, anchor: str, after: Path) -> str:
    name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
    if name in PAGES:
        return os.path.relpath(DOCS / PAGES[name], after)
    if name and target.exists() and not (target.is_relative_to(DOCS) and target.suffix in OURS):
        return f"{SCHEME}:{name}{anchor}"
    return os.path.relpath(target, after) + anchor


def _linked(app: Sphinx) -> dict[str, set[str]]:
    """The files that each page links to, kept with Sphinx's own state."""
    if not hasattr(app.env, "linked_files"):
        app.env.linked_files = {}
    found: dict[str, set[str]] = app.env.linked_files
    return found


def _forget(app: Sphinx, _: Any, page: str) -> None:
    _linked(app).pop(page, None)


def _resolve(app: Sphinx, doctree: nodes.document) -> None:
    page = app.env.docname
    for node in doctree.findall(nodes.reference):
        scheme, _, place = node.get("refuri", "").partition(":")
        if scheme == SCHEME:
            name, _, anchor = place.partition("#")
            if anchor and anchor not in definitions(ROOT / name):
                LOGGER.warning("%s has no %s", name, anchor, location=node)
            _linked(app).setdefault(page, set()).add(name)
            node["refuri"] = app.builder.get_relative_uri(page, f"files/{name}") + (anchor and f"#{anchor}")
            node["classes"] = ["internal"]


def definitions(path: Path) -> dict[str, int]:
    """Lines of the functions, classes and constants of a Python file, by name."""
    if path.suffix != ".py":
        return {}
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.setdefault(node.name, node.lineno)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, node.lineno)
    return found


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    linked = {name for names in _linked(app).values() for name in names}
    for name in sorted(linked | {inside for folder in linked for inside in _inside(folder)}):
        body = _listing(name) if (ROOT / name).is_dir() else _code(name)
        title = html.escape(name)
        yield f"files/{name}", {"title": title, "body": f"<h1>{title}</h1>\n{body}"}, "page.html"


class _Navigation:
    """The tree of pages beside every page, of one level, because its pages have no pages below them.

    To find that out for every heading takes half of a build. Beside files it is the same at every depth of folders.
    """

    def __init__(self) -> None:
        self._kept: dict[int, str] = {}

    def share(self, _: Sphinx, page: str, __: str, context: dict[str, Any], ___: Any) -> None:
        """Put it into the context of a page."""
        make: Callable[..., str] = context["toctree"]
        context["toctree"] = lambda **options: self._of(page, make, {**options, "maxdepth": 1})

    def _of(self, page: str, make: Callable[..., str], options: dict[str, Any]) -> str:
        if not page.startswith("files/"):
            return make(**options)
        depth = page.count("/")
        if depth not in self._kept:
            self._kept[depth] = make(**options)
        return self._kept[depth]


def _inside(name: str) -> Iterator[str]:
    """The files below a folder, and the folders."""
    if (ROOT / name).is_dir():
        for path in sorted((ROOT / name).rglob("*")):
            if "__pycache__" not in path.parts:
                yield str(path.relative_to(ROOT))


def _listing(name: str) -> str:
    here = ROOT / name
    links = [
        f'<li><a href="{here.name}/{html.escape(path.name)}.html">{html.escape(path.name)}</a></li>'
        for path in sorted(here.iterdir())
        if path.name != "__pycache__"
    ]
    return f"<ul>{''.join(links)}</ul>"


def _code(name: str) -> str:
    path = ROOT / name
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        lexer = TextLexer()
    lines = highlight(path.read_text(encoding="utf-8"), lexer, HtmlFormatter(nowrap=True)).split("\n")
    for definition, line in definitions(path).items():
        lines[line - 1] = f'<span id="{definition}"></span>{lines[line - 1]}'
    return f'<div class="highlight"><pre>{chr(10).join(lines)}</pre></div>'
