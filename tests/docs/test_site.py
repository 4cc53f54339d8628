"""The site: built strictly, without a network; what a browser needs is in the folder; linked files become pages."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs_pages import ROOT

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
STYLES = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "manifest", "search"}


def build(source, out):
    """Build strictly with the settings of docs/; the exit code and what was said."""
    arguments = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", str(out / ".doctrees")]
    command = [sys.executable, "-m", "sphinx", "--conf-dir", str(ROOT / "docs"), *arguments, str(source), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stderr


class Loaded(HTMLParser):
    """What a page makes a browser load, and where it leads."""

    def __init__(self):
        super().__init__()
        self.loads, self.links, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        relation = set((given.get("rel") or "").split())
        if tag in LOADS and given.get(LOADS[tag]) and (tag != "link" or relation & STYLES):
            self.loads.append(given[LOADS[tag]])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get("id"):
            self.ids.add(given["id"])


def read(page):
    found = Loaded()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_a_small_site_has_pages_for_the_files_it_links_to(tmp_path):
    source, out = tmp_path / "docs", tmp_path / "site"
    source.mkdir()
    here = os.path.relpath(ROOT, source)
    (source / "index.md").write_text(
        f"# A\n\n[code]({here}/tests/docs_pages.py#name_of), [folder]({here}/examples/verl), [b](other.md#a-part)\n\n"
        "```{toctree}\nother\n```\n"
    )
    (source / "other.md").write_text("# B\n\n## A part\n\nText.\n")
    assert build(source, out) == (0, "")
    links = read(out / "index.html").links
    assert "files/tests/docs_pages.py.html#name_of" in links
    assert "name_of" in read(out / "files" / "tests" / "docs_pages.py.html").ids
    assert "verl/run.sh.html" in read(out / "files" / "examples" / "verl.html").links
    assert (out / "files" / "examples" / "verl" / "run.sh.html").is_file()


def test_links_that_lead_nowhere_fail_the_build(tmp_path):
    source = tmp_path / "docs"
    source.mkdir()
    here = os.path.relpath(ROOT, source)
    (source / "index.md").write_text(
        f"# A\n\n[a](none.md), [b](#none), [c]({here}/tests/docs_pages.py#none), [d]({here}/none.py)\n"
    )
    code, said = build(source, tmp_path / "site")
    assert code
    for place in ("none.md", "'none'", "tests/docs_pages.py has no none", "none.py"):
        assert place in said


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    assert build(ROOT / "docs", out) == (0, "")
    return out


@pytest.mark.slow
def test_pages_load_what_is_beside_them(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        for address in set(read(page).loads) - {"#"}:
            path = page.parent / re.sub(r"[?#].*", "", address)
            assert path.is_file(), f"{page.relative_to(site)} loads {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_links_of_the_built_pages_have_their_targets(site):
    read_pages = {page: read(page) for page in site.rglob("*.html")}
    for page, found in read_pages.items():
        for link in found.links:
            address, _, anchor = link.partition("#")
            if "://" in link or link.startswith(("mailto:", "javascript:")):
                continue
            target = (page.parent / address).resolve() if address else page
            assert target.exists(), f"{page.relative_to(site)} links to {link}"
            if anchor and target in read_pages:
                assert anchor in read_pages[target].ids, f"{page.relative_to(site)} links to {link}"


@pytest.mark.slow
def test_the_search_and_the_index_are_in_the_folder(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert all(word in index for word in ("RecyclingPool", "howto/first_run", "reactiv"))
    external = (site / "external_links.txt").read_text(encoding="utf-8")
    assert "https://arxiv.org/abs/2606.10709\t" in external
    assert Path(site / "reference" / "commands.html").read_text(encoding="utf-8").count("rekindle train") > 1
