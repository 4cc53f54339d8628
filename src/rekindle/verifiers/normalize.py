"""Tokens of normalised short answers: SQuAD's conventions, extended to Unicode, numbers and CJK.

SQuAD (arXiv 1606.05250) lowers the text, deletes ASCII punctuation and the words a, an, the, and splits at white space.
In addition:

- Unicode: NFKC (full-width forms, ligatures), case folding, all punctuation marks (curly quotes, dashes, CJK marks) and
  invisible characters treated like the ASCII marks, and accents of Latin letters folded (``Ramírez``, ``Krøyer``).
- Numbers: ``10,000`` is ``10000`` as in SQuAD, but a decimal point and a leading minus stay (SQuAD reads ``3.5`` as
  ``35``), and other marks between digits separate them (``1861-65`` is ``1861 65``, not ``186165``).
- A trailing ``+`` or ``#`` stays: ``C``, ``C++`` and ``C#`` are three languages.
- Chinese, Japanese and Korean, which do not (always) put spaces between words: every character is a token.
- A text that would lose all its tokens (``The The``, ``?``) keeps its words; only an empty text has no tokens.
"""

import re
import string
import unicodedata

from rekindle.verifiers.unicode_forms import normalized

__all__ = ["ARTICLES", "AnswerTokens", "answer_tokens", "split_tokens"]

AnswerTokens = tuple[str, ...]

ARTICLES = frozenset({"a", "an", "the"})
APOSTROPHES = str.maketrans(dict.fromkeys("´ʻʼ", "'"))
"""Apostrophes that Unicode classes as an accent and two letters."""
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
"""Latin letters that Unicode does not decompose."""
LATIN_MARKS = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
DASHES = re.compile(r"[\u2010-\u2015\u2212]")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
MARKS = re.compile(
    r"(?P<kept>(?<![\w.])-?\d+\.\d+(?!\.?\d)|(?<![^\s(])-\d+|(?<=\w)[+#]+(?!\w))"
    r"|(?P<between>(?<=\d)[^\w\s](?=\d))|[^\w\s]|_"
)
FRACTION_SLASH = "\u2044"
CJK = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
"""Han, kana and hangul."""
TOKEN = re.compile(f"[{CJK}]|[^\\s{CJK}]+")


def answer_tokens(text: str) -> AnswerTokens:
    """The normalised tokens of an answer, e.g. ``("10000", "euros")`` for ``"The 10,000 Euros."``; none if empty."""
    folded = THOUSANDS.sub("", _folded(text))
    tokens = TOKEN.findall(MARKS.sub(_mark, folded)) or folded.split()
    return tuple(token for token in tokens if token not in ARTICLES) or tuple(tokens)


def split_tokens(text: str) -> AnswerTokens:
    """Like :func:`answer_tokens`, but a mark ends a word, articles stay, and a mark alone is not a token.

    ``("paris", "s", "the", "a", "b")`` for ``"Paris's: the A-B"``.
    """
    return tuple(TOKEN.findall(MARKS.sub(lambda found: _mark(found) or " ", THOUSANDS.sub("", _folded(text)))))


def _folded(text: str) -> str:
    """Fold compatibility forms, case and accents; dashes become hyphens."""
    same = normalized("NFKC", text.translate(APOSTROPHES)).casefold().translate(LETTERS)
    bare = LATIN_MARKS.sub("", normalized("NFD", same))
    return DASHES.sub("-", normalized("NFKC", bare))


def _mark(found: re.Match[str]) -> str:
    """The replacement of a character that is neither letter nor digit."""
    sign = found.group()
    if found["kept"] is not None or not _is_punctuation(sign):
        return sign
    return " " if found["between"] is not None else ""


def _is_punctuation(sign: str) -> bool:
    """Whether a character is punctuation, an ASCII sign or invisible."""
    return sign in string.punctuation or sign == FRACTION_SLASH or unicodedata.category(sign)[0] in "PC"
