"""The words of a question in any script; in scripts without spaces, characters are words."""

import re
import unicodedata

from rekindle.verifiers.normalize import AnswerTokens, answer_tokens, split_tokens

__all__ = ["joined_words", "split_words"]

UNSPACED = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA9E0, 0xA9FF),
            (0xAA60, 0xAADF))  # fmt: skip
"""Thai, Lao, Tibetan, Burmese, Khmer and the Tai scripts; verifiers already split Han, kana and hangul."""


def _clusters() -> re.Pattern[str]:
    """Pattern of a letter of an unspaced script with its vowel signs and tones, or of the text between such letters."""
    codes = [code for first, last in UNSPACED for code in range(first, last + 1)]
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code)).startswith("M"))
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED)
    return re.compile(f"[{ranges}][{marks}]*|[^{ranges}]+")


CLUSTERS = _clusters()


def joined_words(text: str) -> AnswerTokens:
    """The words of an answer as verifiers compare them: without articles, and with the marks within a word removed.

    ``"The U.S. rock-and-roll"`` gives ``("us", "rockandroll")``. Texts of nothing but articles or marks keep them.
    """
    return _characters(answer_tokens(text))


def split_words(text: str) -> AnswerTokens:
    """The words of a question, with articles; marks end a word: ``("the", "u", "s", "rock", "and", "roll")``."""
    return _characters(split_tokens(text))


def _characters(tokens: AnswerTokens) -> AnswerTokens:
    return tuple(part for token in tokens for part in ([token] if token.isascii() else CLUSTERS.findall(token)))
