"""Links of the pages, in the repository: files, headings, definitions. External ones are looked at, not fetched."""

import re
from urllib.parse import urlsplit

import pytest

from docs_pages import FENCE, INLINE, PAGES, anchors, name_of, text_of

LINK = re.compile(r"\]\(<?([^)>\s]+)>?\)")


def links(page):
    return LINK.findall(INLINE.sub("", FENCE.sub("", text_of(page))))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_anchors(page):
    for link in links(page):
        address, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / address).resolve() if address else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)} links to {link}, and there is no such heading or name"


def test_external_links_are_addresses_of_papers_and_projects():
    external = {link for page in PAGES for link in links(page) if "://" in link}
    assert external
    for link in external:
        parts = urlsplit(link)
        assert parts.scheme == "https", link
        assert parts.hostname, link


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## `T` and *T*", "t-and-t"),
        ("# What guesses, lists earn", "what-guesses-lists-earn"),
        ("### A [b](c.md)", "a-b"),
    ],
)
def test_anchors_by_hand(heading, anchor, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{heading}\n\ntext\n")
    assert anchor in anchors(page)


def test_anchors_of_repeated_headings_code_and_terms(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A\n\n# A\n\n```\n# no\n```\n\n```{glossary}\ntop-up\n  More.\n\npass@k\n  A chance.\n```\n")
    assert anchors(page) == {"a", "a-1", "term-top-up", "term-pass-k"}
