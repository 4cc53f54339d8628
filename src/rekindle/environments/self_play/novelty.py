"""Questions that were asked before in nearly the same words."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from rekindle.environments.self_play.words import split_words

__all__ = ["Novelty"]

EDGE = ""
"""Before the first word and after the last one; no word is empty."""


class Novelty:
    """Compares a question with all that were accepted before, by the pairs of neighbours among their words.

    The similarity of two questions is the Jaccard index |A & B| / |A | B| of their sets of pairs: of each word and the
    next one, with both edges, case and punctuation aside. A word that comes again counts as another word, so the pairs
    tell the whole order, and 1.0 means the same words in the same order. Of twelve words, another one in the middle
    leaves 11/15, and one more at the end 12/15; "a b c d" and "a b d c" share 2 of 8 pairs. In scripts without spaces
    characters are words.

    An index from pairs to questions finds the most similar one exactly; nothing is estimated or drawn. Besides the
    questions there is no state: one made of the same questions, in any order, says the same.

    Args:
        threshold: Similarity from which on a question is a duplicate; in (0, 1], and with 1 only equal ones are.
        questions: Accepted before.
    """

    def __init__(self, threshold: float, questions: Iterable[str] = ()) -> None:
        self._threshold = threshold
        self._rows_with: dict[str, array[int]] = {}
        self._sizes = array("q")
        for question in questions:
            self.add(question)

    def add(self, question: str) -> None:
        """Count a question among those that were accepted."""
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
        """Whether an earlier question reaches the threshold."""
        return self.similarity(question) >= self._threshold


def _pairs(question: str) -> set[str]:
    """Neighbours, e.g. ``" ka 1"``, ``"ka 1 lo 1"``, ``"lo 1 "`` of "ka lo": pairwise different."""
    return {f"{first} {second}" for first, second in pairwise([EDGE, *_numbered(split_words(question)), EDGE])}


def _numbered(words: Iterable[str]) -> Iterator[str]:
    """Each word with how often it has come so far: ``"ka 1"``, ``"lo 1"``, ``"ka 2"``."""
    seen = Counter[str]()
    for word in words:
        seen[word] += 1
        yield f"{word} {seen[word]}"
