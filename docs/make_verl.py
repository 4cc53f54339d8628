"""Write the tables of docs/howto/verl.md, so that the page and the code that refuses cannot differ.

Run it as: python docs/make_verl.py
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from rekindle.integrations.verl.settings.capabilities import Capability, capabilities
from rekindle.integrations.verl.settings.impossible import NO_EFFECT
from rekindle.integrations.verl.settings.links import LINKS
from rekindle.integrations.verl.settings.tables import SETTINGS

PAGE = Path(__file__).parent / "howto" / "verl.md"
MADE = "made by docs/make_verl.py"
NOTE = (
    "Where rewards become 0 or 1, a reward of at least `task.success_threshold` (0.5, unless you set it) is 1. "
    "Settings that a recipe decides can be left out; set to anything else than verl's default or the value here, they "
    "are refused by name. So is `rollout.n` where the recipe sizes groups."
)


def page() -> str:
    """The whole page with the present tables."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        begin, end = f"<!-- begin {name}: {MADE} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        assert found, f"the page has no place for {name}"
        text = f"{before}{begin}\n{table()}\n{end}{rest.partition(end)[2]}"
    return text


def recipes() -> str:
    """Table of the recipes."""
    lines = ["| recipe | on verl | `rollout.n` | decided by the recipe | rewards |", "|---|---|---|---|---|"]
    lines += [f"| `{name}` | {_cells(one)} |" for name, one in capabilities().items()]
    return "\n".join([*lines, "", NOTE])


def _cells(one: Capability) -> str:
    if one.refusal:
        return f"no: {re.sub('[|]', ' ', one.refusal)} | | | "
    decided = ", ".join(f"`{path}={value}`" for path, value in (one.decided or {}).items())
    return f"yes | {'yours' if one.sized else 'left out'} | {decided} | {'0 or 1' if one.binary else 'as they are'}"


def settings() -> str:
    """Tables of the settings that a recipe can decide, and of the keys that verl decides."""
    linked = [f"| `{link.name}` | `{link.path}` |" for link in LINKS]
    others = [f"| `{key}` | {_code(words)} |" for key, words in SETTINGS.items()]
    return "\n".join(
        [
            "| verl | key that a recipe may set |",
            "|---|---|",
            *linked,
            "",
            "| key that verl decides | set |",
            "|---|---|",
            *others,
        ]
    )


def _code(words: str) -> str:
    """The settings of a sentence as code."""
    return re.sub(r"[a-z][\w.]+=(?:\.\.\.|\[\.\.\.\]|\{\.\.\.\})", lambda found: f"`{found[0]}`", words)


def without_effect() -> str:
    """Table of settings that a recipe takes the place of."""
    lines = [f"| `{path}` | {remedy} |" for path, remedy in NO_EFFECT.items()]
    return "\n".join(["| setting | why it is refused, and what to do |", "|---|---|", *lines])


TABLES: Mapping[str, Callable[[], str]] = {"recipes": recipes, "settings": settings, "without effect": without_effect}

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
