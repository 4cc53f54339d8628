"""How text becomes terms, the same way for documents and queries and for both lexical backends."""

import re
import unicodedata
from itertools import pairwise

__all__ = ["ANALYZER", "MAX_QUERY_CHARACTERS", "MAX_QUERY_TERMS", "distinct_terms", "prepare", "prepare_query"]

ANALYZER = "nfkc, lower case, no accents, CJK characters and pairs; 1"
"""Part of the fingerprint of an index: change it with anything that changes the terms of a document."""

MAX_QUERY_CHARACTERS = 10_000
"""What of a query is looked at; a policy may write a megabyte."""

MAX_QUERY_TERMS = 100
"""Distinct terms of a query that are searched for, in the order in which they first occur."""

_CJK = re.compile(
    "[\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def prepare(text: str) -> str:
    """Text for a tokenizer that splits where letters and digits end: what has no spaces between words gets them.

    A run of Chinese, Japanese or Korean characters becomes its characters and its pairs of neighbours, so that a query
    of one character finds something, and one of a word finds the word first.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
    return _CJK.sub(_characters_and_pairs, text)


def _characters_and_pairs(run: re.Match[str]) -> str:
    characters = run.group()
    pairs = (first + second for first, second in pairwise(characters))
    return f" {' '.join(characters)} {' '.join(pairs)} "


def prepare_query(query: str) -> str:
    """:func:`prepare`, of what is looked at in a query."""
    return prepare(query[:MAX_QUERY_CHARACTERS])


def distinct_terms(terms: list[str]) -> list[str]:
    """The terms that are searched for."""
    return list(dict.fromkeys(terms))[:MAX_QUERY_TERMS]
