"""The words of a question in any script: where no spaces are written between words, characters."""

import re
import unicodedata

from rekindle.verifiers.normalize import AnswerTokens, answer_tokens, split_tokens

__all__ = ["joined_words", "split_words"]

UNSPACED = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA9E0, 0xA9FF),
            (0xAA60, 0xAADF))  # fmt: skip
"""Thai, Lao, Tibetan, Burmese, Khmer and the Tai scripts; the tokens of verifiers are single Han, kana and hangul."""


def _clusters() -> re.Pattern[str]:
    """Finds a letter of an unspaced script with its vowel signs and tones, or all that stands between such letters."""
    codes = [code for first, last in UNSPACED for code in range(first, last + 1)]
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code)).startswith("M"))
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED)
    return re.compile(f"[{ranges}][{marks}]*|[^{ranges}]+")


CLUSTERS = _clusters()


def joined_words(text: str) -> AnswerTokens:
    """The words of an answer as verifiers compare them: no articles, and marks within a word join its parts.

    ``("us", "rockandroll")`` of ``"The U.S. rock-and-roll"``. Texts of articles or marks alone keep them.
    """
    return _characters(answer_tokens(text))


def split_words(text: str) -> AnswerTokens:
    """The words of a question, articles and all; marks end them: ``("the", "u", "s", "rock", "and", "roll")``."""
    return _characters(split_tokens(text))


def _characters(tokens: AnswerTokens) -> AnswerTokens:
    return tuple(part for token in tokens for part in ([token] if token.isascii() else CLUSTERS.findall(token)))
