"""Multiple choice: the letter of a reference, and the one letter that a text chooses."""

import re

from rekindle.verifiers.plain_text import plain
from rekindle.verifiers.statements import MOST_STATED, anchored, marked

__all__ = ["choice_of", "chosen_letter"]

CHOICE = re.compile(r"\(?\s*([A-J])\s*\)?[.:]?")
CHOSEN = re.compile(
    r"[\s*_(\[{$]*(?:(?:option|choice|letter)\s+)?[*_(\[]*([A-J])(?=[)\].,:;*_!$}]|\s*$|\s+(?:because|since|as|or|and)\b)"
)
ANOTHER = re.compile(r"[\s)\]*_.]*(?:,|/|\bor\b|\band\b|&)\s*(?:option\s+)?[*_(\[]*[A-J](?![a-zA-Z])", re.IGNORECASE)
OPTION = re.compile(r"(?<![a-zA-Z0-9])([A-J])[).:]")


def choice_of(reference: str) -> str | None:
    r"""The letter of a reference such as ``B``, ``(B)`` or ``\text{(B)}``; None for other references."""
    found = CHOICE.fullmatch(plain(reference))
    return None if found is None else found[1]


def chosen_letter(text: str, prompt: str) -> str | None:
    """The one letter that a text chooses."""
    marks = marked(text)
    if marks is not None:
        return _letter(marks[0]) if len(marks) == 1 else None
    if (said := anchored(text, prompt)) is not None:
        return _letter(said)
    lines = text.strip().splitlines()
    if not lines or (len(lines) > 1 and CHOICE.fullmatch(plain(lines[-1][:MOST_STATED])) is None):
        return None
    return _letter(lines[-1]) if len(set(OPTION.findall(lines[-1]))) < 2 else None


def _letter(said: str) -> str | None:
    bare = plain(said[:MOST_STATED])
    found = CHOSEN.match(bare)
    return None if found is None or ANOTHER.match(bare, found.end()) else found[1]
