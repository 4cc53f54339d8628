"""A list of the addresses outside that pages link to, ``external_links.txt`` in the site; none of them is fetched."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Collect the addresses when all pages are read."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True}


def _write(app: Sphinx, exception: Exception | None) -> None:
    if exception is None:
        found: dict[str, set[str]] = {}
        for page in app.env.all_docs:
            for link in app.env.get_doctree(page).findall(nodes.reference):
                if link.get("refuri", "").startswith(("http://", "https://")):
                    found.setdefault(link["refuri"], set()).add(page)
        lines = [f"{address}\t{' '.join(sorted(pages))}\n" for address, pages in sorted(found.items())]
        (Path(app.outdir) / "external_links.txt").write_text("".join(lines), encoding="utf-8")
