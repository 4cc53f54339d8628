"""Unicode normalization in linear time.

``unicodedata.normalize`` sorts every run of combining marks by insertion, in quadratic time. Runs are therefore cut as
in the Stream-Safe Text Format (Unicode Standard Annex 15): a joiner follows every 30 marks. No language has such runs.
"""

import re
import unicodedata
from typing import Literal

__all__ = ["normalized"]

MOST_MARKS = 30
JOINER = "\u034f"
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def normalized(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """``unicodedata.normalize`` of a text with at most 30 combining marks in a row."""
    if text.isascii():
        return text
    return unicodedata.normalize(form, NOT_ASCII.sub(lambda found: _cut(found.group()), text))


def _cut(signs: str) -> str:
    if len(signs) <= MOST_MARKS:
        return signs
    parts: list[str] = []
    marks = 0
    for sign in signs:
        marks = marks + 1 if unicodedata.combining(sign) else 0
        parts.append(sign)
        if marks == MOST_MARKS:
            parts.append(JOINER)
            marks = 0
    return "".join(parts)
