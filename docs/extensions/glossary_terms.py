"""Links to a term of the glossary by its anchor: ``[gate](glossary.md#term-gate)``."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the terms of a page known as targets when it is read."""
    app.connect("doctree-read", _note)
    return {"parallel_read_safe": True}


def _note(app: Sphinx, doctree: nodes.document) -> None:
    targets = app.env.domains.standard_domain
    for term in doctree.findall(nodes.term):
        for anchor in term["ids"]:
            targets.note_hyperlink_target(anchor, app.env.docname, anchor)
