"""Write docs/composition.md from the rules of the configuration, so that the page and the code cannot differ.

Run it as: python docs/make_composition.py
"""

import json
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase

import tomli_w

from rekindle.config import merge
from rekindle.config.rules import RULES
from rekindle.methods.composition import ALL_TOGETHER, FEATURES, UNLESS_SET, Setting, clashes, combine, overrides

PAGE = Path(__file__).parent / "composition.md"
HEAD = """# What composes

<!-- made by docs/make_composition.py -->

A method here is a few settings, and every combination of settings is either meant to work or refused before the run
starts, with the reason and the remedy; `rekindle.methods.composition.combine("GRESO", "knapsack")` asks the same
question in Python. The pages of single methods are in [methods](methods/README.md).

Search self-play is no feature but a source of tasks: what it proposes is scheduled, sized and credited as given tasks
are, by everything below but the phases of sGPO, which need a profile of questions that are not there yet.
"""
ENDING = {"train": {"rollouts": 45_000}}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, _features(), _matrix(), _together(), _rules()])


def _features() -> str:
    lines = ["## The features", "", "What each one adds to plain GRPO with groups of 4.", "", "| | | settings |"]
    lines.append("|---|---|---|")
    for letter, name in zip(ascii_uppercase, FEATURES, strict=False):
        words = _settings(FEATURES[name])
        if name in UNLESS_SET:
            words += f"; and, unless another feature sets it, {_settings(UNLESS_SET[name])}"
        lines.append(f"| {letter} | {name} | {words} |")
    return "\n".join([*lines, ""])


def _settings(settings: Mapping[str, Setting]) -> str:
    return ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in settings.items())


def _matrix() -> str:
    letters = ascii_uppercase[: len(FEATURES)]
    notes: dict[str, int] = {}
    cells = {pair: _cell(pair, notes) for pair in combinations(FEATURES, 2)}
    lines = ["## Every pair", "", "yes: works. A number: refused, see below the table.", ""]
    lines.append(f"| | | {' | '.join(letters)} |")
    lines.append("|---|---|" + ":-:|" * len(letters))
    for letter, row in zip(letters, FEATURES, strict=True):
        found = (cells.get((row, column)) or cells.get((column, row), "") for column in FEATURES)
        lines.append(f"| {letter} | {row} | {' | '.join(found)} |")
    return "\n".join([*lines, "", *(f"{number}. {_in_code(note)}" for note, number in notes.items()), ""])


def _cell(pair: tuple[str, str], notes: dict[str, int]) -> str:
    reasons = [f"both set {', '.join(keys)}; leave one of them out"] if (keys := clashes(*pair)) else combine(*pair)
    return ", ".join(str(notes.setdefault(reason, len(notes) + 1)) for reason in reasons) or "yes"


def _in_code(sentence: str) -> str:
    """Settings set as code."""
    return re.sub(r'\b[a-z_]+\.[a-z_]+(?: = (?:"[^"]*"|[\d.]*\d))?', lambda found: f"`{found[0]}`", sentence)


def _together() -> str:
    assert not combine(*ALL_TOGETHER)
    toml = tomli_w.dumps(merge(overrides(*ALL_TOGETHER), ENDING))
    words = ", ".join(ALL_TOGETHER[:-1]) + f" and {ALL_TOGETHER[-1]}"
    return f"## All together\n\n{words[:1].upper()}{words[1:]} in one run:\n\n```toml\n{toml}```\n"


def _rules() -> str:
    lines = [f"- {_in_code((rule.__doc__ or '').strip().splitlines()[0])}" for rule in RULES]
    return "\n".join(["## Every rule", "", "Refused are:", "", *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
