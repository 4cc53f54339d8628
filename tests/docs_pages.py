"""The pages of the documentation: their blocks, their commands and the anchors in them."""

import ast
import functools
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^( *)(```+)([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROGRAMS = {"rekindle", "make", "python", "pip", "bash", "sbatch", "accelerate", "tensorboard", "pre-commit"}


def name_of(page):
    """Path of a page below the root, which is its name in tests."""
    return str(page.relative_to(ROOT))


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    """The fenced blocks of a language."""
    return [body for _, _, kind, body in FENCE.findall(text_of(page)) if kind.strip() == language]


def all_blocks(language):
    """(Page, number on the page) of every block of a language."""
    return [(page, number) for page in PAGES for number in range(len(blocks(page, language)))]


def plain_lines(page):
    """The lines of indented blocks and of fenced ones without a language, continued lines joined."""
    text = text_of(page)
    fenced = [body for _, _, kind, body in FENCE.findall(text) if not kind.strip()]
    indented = re.findall(r"^ {4,}(\S.*)$", FENCE.sub("", text), re.MULTILINE)
    lines = "\n".join([*(line.strip() for body in fenced for line in body.splitlines()), *indented])
    return re.sub(r"\\\n\s*", "", lines).splitlines()


def commands(page):
    """The commands of a page as lists of words, without comments, variables before them, and brackets of options."""
    for line in plain_lines(page):
        words = _words(line)
        if words and words[0] in PROGRAMS:
            yield words


def _words(line):
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a sentence with an apostrophe, a formula
        return []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words:
        words[0] = words[0].removeprefix(".venv/bin/").removeprefix("$ ")
    return [word for word in (word.strip("[]") for word in words) if word]


def inline_commands(page):
    """The commands of ``rekindle`` that a page names in its text."""
    for code in INLINE.findall(FENCE.sub("", text_of(page))):
        if code.removeprefix(".venv/bin/").startswith("rekindle "):
            yield re.sub(r"[\[\]]", " ", code).split()[1:]


@functools.cache
def anchors(path):
    """The anchors of a file: headings and glossary terms of a page, definitions of a Python file."""
    if path.suffix == ".py":
        tree = ast.walk(ast.parse(text_of(path)))
        return {one.name for one in tree if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    text = text_of(path)
    terms = [line for body in blocks(path, "{glossary}") for line in re.findall(r"^(\S.*)$", body, re.MULTILINE)]
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\]\(.*?\)", "", one).lower()).replace(" ", "-") for one in headings]
    numbered = [f"{slug}-{slugs[:place].count(slug)}" for place, slug in enumerate(slugs) if slug in slugs[:place]]
    return {*slugs, *numbered, *(f"term-{re.sub(r'[^a-z0-9]+', '-', one.lower()).strip('-')}" for one in terms)}
