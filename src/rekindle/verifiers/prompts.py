"""What stands in a prompt: its words, its numbers and its terms. The prompts of a batch are read once."""

import re
from functools import lru_cache

from rekindle.verifiers.literals import literals_in
from rekindle.verifiers.plain_text import plain

__all__ = ["plain_prompt", "prompt_formulas", "prompt_literals", "prompt_words", "words_of"]

PROMPTS = 256
"""Prompts that are remembered."""
FORMULAS, LONGEST_FORMULA = 12, 200
FORMULA = re.compile(
    r"\$\$([^$]{1,N})\$\$|\$([^$]{1,N})\$|\\[(\[](.{1,N}?)\\[)\]]".replace("N", str(LONGEST_FORMULA)), re.DOTALL
)
TIGHT = re.compile(r"(?<![\w$])[\w(][\w+\-*/^(){}]*[+\-*/^][\w+\-*/^(){}]+")
MOST_READ = 20_000
"""Characters of a prompt that are searched for numbers and terms, from its end."""


@lru_cache(PROMPTS)
def prompt_words(prompt: str) -> str:
    """The words of a prompt, see ``words_of``."""
    return words_of(prompt)


@lru_cache(PROMPTS)
def prompt_literals(prompt: str) -> frozenset[object]:
    """The forms of the literal numbers in a prompt."""
    return frozenset(literals_in(prompt[-MOST_READ:]))


@lru_cache(PROMPTS)
def plain_prompt(prompt: str) -> str:
    """The prompt as ``plain_text.plain`` writes it."""
    return plain(prompt[-MOST_READ:])


@lru_cache(PROMPTS)
def prompt_formulas(prompt: str) -> tuple[str, ...]:
    """The first formulas of a prompt, between dollar signs or LaTeX brackets or without white space."""
    recent = prompt[-MOST_READ:]
    marked = [next(group for group in found if group) for found in FORMULA.findall(recent)]
    found = [part.strip() for part in (*marked, *TIGHT.findall(recent)) if len(part) <= LONGEST_FORMULA]
    return tuple(dict.fromkeys(found))[:FORMULAS]


def words_of(text: str) -> str:
    """The text in one line and one letter case, for a search for sentences."""
    return " ".join(text.split()).casefold()
