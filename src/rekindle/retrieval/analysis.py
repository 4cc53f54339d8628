"""Text analysis: from text to terms, the same for documents and queries and for both lexical backends."""

import re
import unicodedata
from itertools import pairwise

__all__ = ["ANALYZER", "MAX_QUERY_CHARACTERS", "MAX_QUERY_TERMS", "distinct_terms", "prepare", "prepare_query"]

ANALYZER = "nfkc, lower case, no accents, CJK characters and pairs; 1"
"""Part of the fingerprint of an index: change it with anything that changes the terms of a document."""

MAX_QUERY_CHARACTERS = 10_000
"""Characters of a query that are used; a policy may write a megabyte."""

MAX_QUERY_TERMS = 100
"""Distinct terms of a query that are searched for, in order of first occurrence."""

_CJK = re.compile(
    "[\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def prepare(text: str) -> str:
    """Normalise text for a tokenizer that splits at everything but letters and digits.

    A run of Chinese, Japanese or Korean characters, which has no spaces, becomes its single characters and its pairs
    of neighbours. A query of one character then finds documents, and a query of one word ranks that word first.
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
    """Apply :func:`prepare` to the first ``MAX_QUERY_CHARACTERS`` of a query."""
    return prepare(query[:MAX_QUERY_CHARACTERS])


def distinct_terms(terms: list[str]) -> list[str]:
    """The first ``MAX_QUERY_TERMS`` distinct terms, in order."""
    return list(dict.fromkeys(terms))[:MAX_QUERY_TERMS]
