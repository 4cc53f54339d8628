"""Near-duplicates: the similarity of a question to all questions accepted before."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from rekindle.environments.self_play.words import split_words

__all__ = ["Novelty"]

EDGE = ""
"""Stands before the first word and after the last one; no word is empty."""


class Novelty:
    """Compares a question with all accepted ones, by their pairs of neighbouring words (bigrams).

    The similarity of two questions is the Jaccard index |A & B| / |A | B| of their sets of bigrams, with both edges and
    without case and punctuation. A repeated word counts as another word, so the bigrams determine the order of all
    words, and 1.0 means the same words in the same order. Replacing one of twelve words in the middle gives 11/15, and
    one more word at the end 12/15; "a b c d" and "a b d c" share 2 of 8 bigrams. In scripts without spaces, characters
    are words.

    An index from bigrams to questions finds the highest similarity exactly, without estimates or random numbers. The
    questions are the only state: the same questions in any order give the same results.

    Args:
        threshold: Least similarity of a duplicate, in (0, 1]; with 1 only equal questions are duplicates.
        questions: Questions accepted before.
    """

    def __init__(self, threshold: float, questions: Iterable[str] = ()) -> None:
        self._threshold = threshold
        self._rows_with: dict[str, array[int]] = {}
        self._sizes = array("q")
        for question in questions:
            self.add(question)

    def add(self, question: str) -> None:
        """Add an accepted question."""
        pairs = _pairs(question)
        for pair in pairs:
            self._rows_with.setdefault(pair, array("q")).append(len(self._sizes))
        self._sizes.append(len(pairs))

    def similarity(self, question: str) -> float:
        """The highest similarity, in [0, 1], to a question that was added; 0.0 if there is none."""
        pairs = _pairs(question)
        rows = [self._rows_with[pair] for pair in pairs if pair in self._rows_with]
        if not rows:
            return 0.0
        shared = np.bincount(np.concatenate(rows))
        sizes = np.frombuffer(self._sizes, np.int64, count=len(shared))
        return float((shared / (len(pairs) + sizes - shared)).max())

    def is_duplicate(self, question: str) -> bool:
        """Whether the similarity to an accepted question reaches the threshold."""
        return self.similarity(question) >= self._threshold


def _pairs(question: str) -> set[str]:
    """Bigrams, e.g. ``" ka 1"``, ``"ka 1 lo 1"``, ``"lo 1 "`` of "ka lo"; no two are equal."""
    return {f"{first} {second}" for first, second in pairwise([EDGE, *_numbered(split_words(question)), EDGE])}


def _numbered(words: Iterable[str]) -> Iterator[str]:
    """Each word with the number of its occurrence: ``"ka 1"``, ``"lo 1"``, ``"ka 2"``."""
    seen = Counter[str]()
    for word in words:
        seen[word] += 1
        yield f"{word} {seen[word]}"
