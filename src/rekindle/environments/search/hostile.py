"""Sanitizing of foreign text: tags, control strings and invisible characters are removed or replaced.

A document may imitate the end of the information, an answer or a new turn. The brackets of such marks are replaced:
``<search>`` becomes ``(search)``, while ``a < b`` stays. Look-alikes count as marks (full-width letters, accents,
letters of other scripts, other angle brackets), because a tokenizer may fold them and a policy may read them.

Entities such as ``&lt;search&gt;`` stay: nothing turns them into a tag, neither the tokenizer nor the environment,
which reads only what the policy sampled.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from rekindle.look_alikes import latin

__all__ = ["INVISIBLE", "PLAINER", "Sanitizer", "letters_only", "without_brackets"]

LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters, NUL among them
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # surrogates and noncharacters
)
"""Characters that draw nothing or reorder their neighbours, and noncharacters (default-ignorables and controls)."""
OPENING_LOOK_ALIKES = str.maketrans(dict.fromkeys("\u2039\u2329\u27e8\u3008\u276e\u02c2\u1438", "<"))
CLOSING_LOOK_ALIKES = str.maketrans(dict.fromkeys("\u203a\u232a\u27e9\u3009\u276f\u02c3\u1433", ">"))
BRACKETS = OPENING_LOOK_ALIKES | CLOSING_LOOK_ALIKES

TAGS = (
    "search information answer question think tool_call tool_response tools start_of_turn end_of_turn sys user "
    "assistant"
)
TOKENS = "s bos eos pad unk"
BRACKETED = "inst sys tool_calls tool_results available_tools tool_content system_prompt"
MARKS = (
    rf"(<)[\s/|]*(?:{'|'.join(TAGS.split())})[\s/|]*(>)?",
    rf"(<)[\s/|]*(?:{'|'.join(TOKENS.split())})\s*(>)",
    r"(<)\s*\|(?:[^<>]{0,64}(>))?",
    rf"(\[)[\s/]*(?:{'|'.join(BRACKETED.split())})\s*(\])?",
)
"""Tags of the protocols and control strings of well-known chat templates, folded; their groups are replaced."""


class Sanitizer:
    """Sanitizes foreign text for one tokenizer.

    Args:
        controls: Strings that the tokenizer reads as control tokens. Those that begin with a letter, a digit or white
            space are handled by the encoding (``models.plain_text``), so that ordinary words stay whole.
    """

    def __init__(self, controls: Iterable[str]) -> None:
        self._marks = [re.compile(mark) for mark in (*MARKS, *_own_marks(controls))]

    def sanitize(self, text: str, most: int) -> str:
        """Return at most ``most`` characters of ``text``, without invisible ones and with every mark replaced."""
        visible = INVISIBLE.sub("", LINE_ENDS.sub("\n", text[:most]))
        folded, origins = _folded(visible)
        characters = list(visible)
        for mark in self._marks:
            for match in mark.finditer(folded):
                characters[origins[match.start(1)]] = "("
                if match[2]:
                    characters[origins[match.start(2)]] = ")"
        return "".join(characters)

    def is_sanitized(self, text: str) -> bool:
        """Whether ``text`` contains no mark."""
        folded, _ = _folded(INVISIBLE.sub("", text))
        return not any(mark.search(folded) for mark in self._marks)


def without_brackets(text: str) -> str:
    """Replace every character that could open a mark by a space."""
    return "".join(" " if set(_fold(character)) & set("<>[]{}|") else character for character in text)


def letters_only(text: str) -> str:
    """Keep letters and digits; replace every other character by a space."""
    return "".join(character if character.isalnum() else " " for character in text)


PLAINER: tuple[Callable[[str], str], ...] = (lambda text: text, without_brackets, letters_only)
"""Plainer and plainer versions of a sanitized text, for tokenizers that decode it to a mark again."""


def _own_marks(controls: Iterable[str]) -> list[str]:
    """Patterns of the control strings that ``MARKS`` does not cover; one for each first character."""
    by_opening: dict[str, list[str]] = {}
    for control in sorted(controls):
        text = _folded(control)[0]
        if text and not (text[0].isalnum() or text[0].isspace() or any(re.search(mark, text) for mark in MARKS)):
            by_opening.setdefault(text[0], []).append(re.escape(text[1:]))
    return [f"({re.escape(opening)})(?:{'|'.join(rests)})()" for opening, rests in by_opening.items()]


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """Return the folded text and, for each of its characters, the index of its origin in ``text``."""
    if text.isascii():
        return text.lower(), range(len(text))
    pieces = [_fold(character) for character in text]
    return "".join(pieces), [index for index, piece in enumerate(pieces) for _ in piece]


@lru_cache(maxsize=65536)
def _fold(character: str) -> str:
    """Return the plain characters that ``character`` resembles: Latin letters, without accents, width and case."""
    return latin(character).translate(BRACKETS)
