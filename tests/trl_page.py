"""The page "From your TRL script", and the script before and after its diff."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "howto" / "trl.md").read_text(encoding="utf-8")
BEFORE = (ROOT / "examples" / "trl_script.py").read_text(encoding="utf-8")


def block(language):
    """The first block of a language on the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0]


def changed_lines():
    return [line for line in block("diff").splitlines() if re.match(r"[+-](?![+-])", line)]


def after():
    """The script with the diff applied; the old lines of a hunk have to occur once."""
    text = BEFORE
    for hunk in re.split(r"^@@.*\n", block("diff"), flags=re.MULTILINE)[1:]:
        old, new = ("".join(line[1:] for line in hunk.splitlines(True) if line[0] in kept) for kept in (" -", " +"))
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text
