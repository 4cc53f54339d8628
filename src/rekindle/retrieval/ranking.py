"""The order of hits: by score, ties in corpus order, independent of the index's own order."""

from collections.abc import Callable, Sequence

__all__ = ["SPARE", "Ranking", "first_with_ties"]

Ranking = Sequence[tuple[int, float]]
"""``(row, score)``, best first."""

SPARE = 6
"""Hits requested beyond ``k``, so that ties at the end rarely need a second search."""

_TIE = 1e-5  # relative; a sum of float32 in another order differs by less


def first_with_ties(hits_of: Callable[[int], Ranking], k: int) -> list[tuple[int, float]]:
    """The first ``k`` hits by score, then row, of an index that returns ties in arbitrary order.

    A limited search returns some of several equal documents, depending on the layout of the index. Therefore more hits
    are requested until a worse one appears, and scores that differ by rounding alone are made equal.

    Args:
        hits_of: ``limit -> hits`` with falling scores; first called with ``k + SPARE``.
        k: Hits wanted, at least 1.
    """
    limit = k + SPARE
    while True:
        hits = hits_of(limit)
        ranked = _level(hits)
        if len(hits) < limit or ranked[k - 1][1] > ranked[-1][1]:
            return ranked[:k]
        limit *= 4


def _level(hits: Ranking) -> list[tuple[int, float]]:
    """Give tied hits the score of the first of them, and sort by score and row."""
    levelled: list[tuple[int, float]] = []
    best = float("inf")
    for row, score in hits:
        if best == float("inf") or score < best - _TIE * abs(best):
            best = score
        levelled.append((row, best))
    return sorted(levelled, key=lambda hit: (-hit[1], hit[0]))
