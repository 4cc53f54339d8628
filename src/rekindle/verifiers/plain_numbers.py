"""Extraction and comparison of plain-number answers: exact, in time linear in the text, executing no code."""

import re
from collections.abc import Sequence
from decimal import Decimal

__all__ = ["boxed_contents", "plain_number", "quick_equal"]

BOXED = "\\boxed{"
GSM8K_MARK = "####"
NUMBER = re.compile(r"[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\$?\.\d+")
BRACE = re.compile(r"(?<!\\)[{}]")
DIGIT_WORD = re.compile(r"\S*\d\S*")
OPERATORS = "+-*/^×÷·=<>~"
MAX_CHARACTERS = 40


def quick_equal(text: str, answers: Sequence[str]) -> bool | None:
    r"""Compare the final answer in ``text`` with the accepted ones, where that needs no algebra.

    The final answer is the content of ``\boxed{}``, else the line after the last ``####``, else, in text without LaTeX,
    the last number (the only one after the word "answer", where that word occurs).

    Returns:
        True or False in a clear case; None in any other (several different boxes, a fraction, a decimal that may be
        rounded, a number inside a formula, ...).
    """
    found = _final_answer(text)
    if found is None:
        return None
    if found in {answer.strip() for answer in answers}:
        return True
    number, accepted = plain_number(found), [plain_number(answer) for answer in answers]
    if number is None or None in accepted:
        return None
    if number in accepted:
        return True
    whole = all(value is not None and value == value.to_integral_value() for value in (number, *accepted))
    return False if whole else None


def plain_number(text: str) -> Decimal | None:
    r"""Parse ``72``, ``-1,234.50``, ``\$18.``, ``10{,}000``; None for anything else, also for overlong numbers."""
    bare = text.strip().replace("−", "-").replace("{,}", ",").replace("\\$", "$").removesuffix(".")
    if len(bare) > MAX_CHARACTERS or not bare.isascii() or NUMBER.fullmatch(bare) is None:
        return None
    return Decimal(bare.replace(",", "").replace("$", ""))


def boxed_contents(text: str) -> list[str]:
    r"""Contents of each ``\boxed{...}`` of a text, in order, with balanced braces; unclosed boxes are left out."""
    contents, start = [], text.find(BOXED)
    while start >= 0:
        begin = start + len(BOXED)
        end = _closing_brace(text, begin)
        if end < 0:
            break
        contents.append(text[begin:end])
        start = text.find(BOXED, end)
    return contents


def _closing_brace(text: str, begin: int) -> int:
    depth = 1
    for brace in BRACE.finditer(text, begin):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.start()
    return -1


def _final_answer(text: str) -> str | None:
    if BOXED in text:
        boxed = {content.strip() for content in boxed_contents(text)}
        return boxed.pop() if len(boxed) == 1 else None
    _, mark, after = text.rpartition(GSM8K_MARK)
    if mark:
        lines = after.strip().splitlines()
        return lines[0].strip() if lines else None
    return None if "\\" in text else _last_number(text)


def _last_number(text: str) -> str | None:
    """The last word with a digit, without punctuation; None next to an operator, where it is part of a formula."""
    stated = text.lower().rfind("answer")
    words = list(DIGIT_WORD.finditer(text, max(stated, 0)))
    if not words or (stated >= 0 and len(words) > 1):
        return None
    word = words[-1]
    before, after = text[: word.start()].rstrip()[-1:], text[word.end() :].lstrip()[:1]
    if (before and before in OPERATORS.replace("=", "")) or (after and after in OPERATORS):
        return None
    return word.group().strip("*_`\"'!?;:,.")
