"""The directive ``{api} MODULE``: the entries of what a module exports. With ``:whole:``, of its own modules too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from extensions.api_markdown import entry, prose
from extensions.public_names import entry_of, exported, module, modules
from extensions.repository_links import SCHEME, relinked

__all__ = ["Api", "page_of", "setup"]

ROOT = Path(__file__).parents[2]


class Api(SphinxDirective):
    """The entries of a module under a heading with its name and its docstring."""

    required_arguments = 1
    option_spec = {"whole": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of the entries in place."""
        path = self.arguments[0]
        paths = (
            [one for one in modules() if one.startswith(f"{path}.") or one == path]
            if "whole" in self.options
            else [path]
        )
        for one in paths:
            self.env.note_dependency(str(module(one).filepath))
        here = Path(self.env.doc2path(self.env.docname)).parent
        text = relinked("\n\n".join(page_of(one) for one in paths), here, here)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def page_of(path: str) -> str:
    """A module's part of a page, as Markdown."""
    return "\n\n".join(_parts(path))


def _parts(path: str) -> Iterator[str]:
    here, names = module(path), exported(path)
    yield f"## {path}\n\n```{{py:currentmodule}} {path}\n```"
    if here.docstring:
        yield prose(here.docstring.value)
    elsewhere = [
        f"{{py:obj}}`{name} <{entry_of(one)}>`" for name, one in names.items() if not _is_here(path, name, one)
    ]
    if elsewhere:
        yield f"Exports also {', '.join(elsewhere)}."
    for name, target in names.items():
        if _is_here(path, name, target):
            yield entry(target, f"[Source]({SCHEME}:{_place(target)}#{target.name})")


def _is_here(path: str, name: str, target: griffe.Object) -> bool:
    return entry_of(target) == f"{path}.{name}"


def _place(target: griffe.Object) -> str:
    assert isinstance(target.filepath, Path)
    return str(target.filepath.relative_to(ROOT))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("api", Api)
    return {"parallel_read_safe": True}
