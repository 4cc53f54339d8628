"""The references: every public name has its entry and a docstring, every command and every term its place."""

import re
import sys

import griffe
import pytest

from docs_pages import PAGES, ROOT, blocks, text_of
from test_exported_names import CONTRACT

sys.path.insert(0, str(ROOT / "docs"))

from extensions.api_directive import page_of
from extensions.api_markdown import prose
from extensions.public_names import ALSO, ROOMS, entry_of, exported, module, modules

REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
DIRECTIVE = re.compile(r"^```\{api\} (\S+)\n(:whole:\n)?```", re.MULTILINE)


def rendered():
    """The modules whose entries the pages have."""
    for page in REFERENCE:
        for path, whole in DIRECTIVE.findall(text_of(page)):
            yield from (one for one in modules() if one == path or (whole and one.startswith(f"{path}.")))


def test_every_module_of_the_reference_is_on_one_page():
    assert sorted(rendered()) == sorted(modules())


def test_the_names_of_the_contract_are_in_the_reference():
    assert set(CONTRACT) <= set(modules())
    for path, names in CONTRACT.items():
        assert set(names.split()) <= set(exported(path)), path


def test_every_module_and_every_exported_name_has_a_docstring():
    for path in modules():
        assert module(path).docstring or path == "rekindle.integrations.trl.settings.capabilities", path
        for name, target in exported(path).items():
            assert target.docstring is not None, f"{path}.{name} has no docstring"


def test_every_exported_name_has_its_entry_once():
    entries = [entry_of(target) for path in modules() for target in exported(path).values()]
    text = "\n".join(page_of(path) for path in modules())
    found = re.findall(r"^`{5}\{py:(?:class|function|data)\} (\w+)", text, re.MULTILINE)
    assert sorted(found) == sorted(entry.rpartition(".")[2] for entry in set(entries))


def test_parameters_that_a_docstring_describes_are_parameters():
    for path in modules():
        for name, target in exported(path).items():
            if isinstance(target, griffe.Function) and target.docstring:
                described = [s for s in target.docstring.parsed if s.kind.value == "parameters"]
                names = {one.name for section in described for one in section.value}
                assert names <= {one.name.lstrip("*") for one in target.parameters} | names & {"args"}, f"{path}.{name}"


def test_rooms_are_packages_and_no_module_is_named_twice():
    assert len(set(modules())) == len(modules())
    assert all(path.startswith("rekindle") for path in (*ROOMS, *ALSO))


@pytest.mark.parametrize(
    ("docstring", "markdown"),
    [
        ("a_i * b_i of ``n_i`` [n]", r"a\_i \* b\_i of ``n_i`` \[n\]"),
        ("First.\n\n    x = a * b\n    y = 2\n\nThen.", "First.\n\n```text\nx = a * b\ny = 2\n```\n\nThen."),
        ("`code_here` and <tag>", r"`code_here` and \<tag\>"),
    ],
)
def test_docstrings_as_markdown_by_hand(docstring, markdown):
    assert prose(docstring) == markdown


# -- the glossary -----------------------------------------------------------------------------------------------------

VOCABULARY = """
task; pool; group request; rollout; group; group size; turn; completion; environment; role; solver; proposer; verifier;
reward function; judge; reward; advantage estimator; gate; token filter; policy version; off-policy steps; engine;
trainer; training sample; recipe; fate; ledger; outcome; credit; cohort; top-up
""".replace("\n", " ")


def terms():
    glossary = ROOT / "docs" / "glossary.md"
    text = "\n".join(blocks(glossary, "{glossary}"))
    return dict(re.findall(r"^(\S.*)\n((?:  .*\n?)+)", text, re.MULTILINE))


def test_the_vocabulary_is_in_the_glossary():
    assert {one.strip() for one in VOCABULARY.split(";")} <= set(terms())


@pytest.mark.parametrize("term", terms())
def test_a_term_is_explained_in_a_sentence(term):
    sentence = terms()[term].strip()
    assert sentence[0].isupper() or not sentence[0].isalpha() or sentence.startswith("`")
    assert sentence.endswith(".")


def test_every_page_is_reached_from_the_index():
    folders = re.findall(r"^([\w/*]+)$", "\n".join(blocks(ROOT / "docs" / "index.md", "{toctree}")), re.MULTILINE)
    for page in PAGES:
        if page.is_relative_to(ROOT / "docs") and page.stem != "index":
            name = str(page.relative_to(ROOT / "docs").with_suffix(""))
            assert name in folders or f"{name.rpartition('/')[0]}/*" in folders, name
