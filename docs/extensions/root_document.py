"""The directive ``{document} PATH``: a Markdown file from outside docs/ as the rest of a page, with its links."""

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

__all__ = ["Document", "relinked", "setup"]

LINK = re.compile(r"\]\(([^)#:\s]+)((?:#[^)\s]*)?)\)")


class Document(SphinxDirective):
    """A file of the repository without its first heading, which the page has."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the file in place, its links seen from the page."""
        page = Path(self.env.doc2path(self.env.docname))
        path = page.parent.joinpath(self.arguments[0]).resolve()
        self.env.note_dependency(str(path))
        _, _, text = path.read_text(encoding="utf-8").partition("\n")
        return self.parse_text_to_nodes(relinked(text, path.parent, page.parent), allow_section_headings=True)


def relinked(text: str, before: Path, after: Path) -> str:
    """Markdown with links that were relative to one folder relative to another."""

    def moved(found: re.Match[str]) -> str:
        target = (before / found[1]).resolve()
        return f"]({os.path.relpath(target, after.resolve())}{found[2]})"

    return LINK.sub(moved, text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("document", Document)
    return {"parallel_read_safe": True}
