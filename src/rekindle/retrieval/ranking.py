"""The order of hits: by score, and equal ones as the corpus has them, whatever order an index finds them in."""

from collections.abc import Callable, Sequence

__all__ = ["SPARE", "Ranking", "first_with_ties"]

Ranking = Sequence[tuple[int, float]]
"""``(row, score)``, best first."""

SPARE = 6
"""Hits to ask for beyond those wanted, so that ties at the end rarely need a second search."""

_TIE = 1e-5  # relative; a sum of float32 in another order differs by less


def first_with_ties(hits_of: Callable[[int], Ranking], k: int) -> list[tuple[int, float]]:
    """The first ``k`` of a ranking whose ties are in no order: by score, then row.

    Which of several equal documents a limited search returns depends on how an index is laid out. So it is asked for
    more until a worse one shows, and scores that differ by rounding alone are levelled.

    Args:
        hits_of: ``limit -> hits`` with scores falling; asked for ``k + SPARE`` first.
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
    """Give hits that tie the score of the first of them, and sort by score and row."""
    levelled: list[tuple[int, float]] = []
    best = float("inf")
    for row, score in hits:
        if best == float("inf") or score < best - _TIE * abs(best):
            best = score
        levelled.append((row, best))
    return sorted(levelled, key=lambda hit: (-hit[1], hit[0]))
