"""The directive ``{document} PATH``: a Markdown file from outside docs/ as the rest of a page, with its links."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from extensions.repository_links import relinked

__all__ = ["Document", "setup"]


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


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("document", Document)
    return {"parallel_read_safe": True}
