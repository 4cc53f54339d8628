"""Links from pages to files of the repository: each such file becomes a page of the site, highlighted, with anchors.

A link to a file outside docs/ works where the Markdown is read, and in the site. Its anchor is the name of a function or a
class (``tests/test_gate.py#collected``). What is not there is a warning, which a strict build refuses.
"""

import ast
import html
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["definitions", "setup"]

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "benchmarks/README.md": "benchmark_scripts",
}
"""Files outside docs/ whose contents a page has."""
LOGGER = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Take over the links before Sphinx copies their files as downloads, and add the pages."""
    app.connect("doctree-read", _take_over, priority=100)
    app.connect("env-purge-doc", _forget)
    app.connect("html-collect-pages", _pages)
    app.connect("html-page-context", _share_navigation, priority=100)
    return {"parallel_read_safe": False}


def _linked(app: Sphinx) -> dict[str, set[str]]:
    """The files that each page links to."""
    if not hasattr(app.env, "linked_files"):
        app.env.linked_files = {}  # type: ignore[attr-defined]
    found: dict[str, set[str]] = app.env.linked_files  # type: ignore[attr-defined]
    return found


def _forget(app: Sphinx, _: Any, page: str) -> None:
    _linked(app).pop(page, None)


def _take_over(app: Sphinx, doctree: nodes.document) -> None:
    for node in [*doctree.findall(addnodes.download_reference), *doctree.findall(addnodes.pending_xref)]:
        if node.get("reftype") == "myst" and (node.get("refdomain") is None or node["reftarget"].startswith("/")):
            _replace(app, node)


def _replace(app: Sphinx, node: nodes.Element) -> None:
    target, _, anchor = node["reftarget"].partition("#")
    page = app.env.docname
    path = (Path(app.srcdir) / page).parent.joinpath(target).resolve()
    if node.get("refdomain") == "doc":  # a Markdown file outside docs/, which the parser took for a page
        path = path.with_name(f"{path.name}.md")
    if not target or not path.is_relative_to(ROOT) or path == ROOT:
        return
    name = str(path.relative_to(ROOT))
    if name in PAGES:
        node.replace_self(_document_link(node, PAGES[name], page))
    elif path.exists():
        if anchor and anchor not in definitions(path):
            LOGGER.warning("%s has no %s", name, anchor, location=node)
        _linked(app).setdefault(page, set()).add(name)
        address = app.builder.get_relative_uri(page, f"files/{name}")
        node.replace_self(nodes.reference("", "", *node.children, refuri=address + (anchor and f"#{anchor}")))


def _document_link(node: nodes.Element, document: str, page: str) -> nodes.Element:
    link = addnodes.pending_xref(
        refdomain="doc", reftarget=document, reftargetid=None, refdoc=page, reftype="myst", refexplicit=True
    )
    link.extend(node.children)
    return link


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
    names = set().union(*_linked(app).values()) if _linked(app) else set()
    for name in sorted(names | {inside for name in names for inside in _inside(name)}):
        body = _listing(name) if (ROOT / name).is_dir() else _code(name)
        title = html.escape(name)
        yield f"files/{name}", {"title": title, "body": f"<h1>{title}</h1>\n{body}"}, "page.html"


def _share_navigation(_: Sphinx, page: str, __: str, context: dict[str, Any], ___: Any) -> None:
    """The tree of pages is the same beside all files of one depth, and takes half a second to make."""
    if page.startswith("files/"):
        made = context["toctree"]
        context["toctree"] = lambda **options: _navigation(page.count("/"), lambda: str(made(**options)))


def _navigation(depth: int, make: Callable[[], str], kept: dict[int, str] = {}) -> str:  # noqa: B006
    if depth not in kept:
        kept[depth] = make()
    return kept[depth]


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
