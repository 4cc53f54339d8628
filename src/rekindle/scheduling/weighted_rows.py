"""Weighted draws without replacement from millions of rows, used by every pool."""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["WeightedRows"]

Rows = npt.NDArray[np.int64]


class WeightedRows:
    """Draws of distinct rows with probability proportional to a weight column.

    Two levels: the weights, and their sums over blocks of 1024 rows. A draw reads the block sums and one block. A
    change sums its blocks anew, so block sums depend on the weights alone: they do not drift and need no checkpoint.

    Args:
        weights: [rows] non-negative, shared with the caller. Change it through ``set``, or call ``refresh`` after a
            change; call ``attach`` where the column is replaced by another array, e.g. a longer one.
        live_above: A row is live when its weight is greater than this.
    """

    BLOCK = 1024
    _AT_ONCE = 256
    """Blocks per pass over several, so that their weights stay in the processor's cache."""

    def __init__(self, weights: npt.NDArray[np.float32], live_above: float = 0.0) -> None:
        self._live_above = np.float32(live_above)
        self.attach(weights)

    def __len__(self) -> int:
        return len(self._weights)

    @property
    def live(self) -> int:
        """Number of live rows."""
        return int(self._live.sum())

    def attach(self, weights: npt.NDArray[np.float32]) -> None:
        """Replace the weight column."""
        self._weights = weights
        blocks = -(-len(weights) // self.BLOCK)
        self._sums = np.zeros(blocks, np.float64)
        self._live = np.zeros(blocks, np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Sum every block anew, after the caller changed the weights."""
        self._refresh_blocks(np.arange(len(self._sums)))

    def set(self, rows: npt.ArrayLike, weight: npt.ArrayLike) -> None:
        """Set the weight of ``rows``, one for all or one each."""
        rows = np.asarray(rows, np.int64)
        self._weights[rows] = weight
        self._refresh_blocks(np.unique(rows // self.BLOCK))

    def fill(self, weight: float) -> None:
        """Set the weight of every row."""
        self._weights.fill(weight)
        self.refresh()

    def draw(self, count: int, rng: np.random.Generator, excluded: Collection[int] = ()) -> Rows:
        """Draw up to ``count`` distinct rows one by one, each in proportion to the weights of the remaining rows.

        Rows in ``excluded`` and rows of weight 0 are never drawn; the result is shorter when no more are left. Repeats
        within a round are skipped, which equals a draw from the remaining rows. Before another round the drawn rows are
        taken out, so that every round yields at least one new row.
        """
        taken_out = [self._take_out(np.fromiter(excluded, np.int64, len(excluded)))]
        drawn = [np.empty(0, np.int64)]
        while self._sums.any():
            rows = self._first_occurrences(self._with_replacement(count, rng))
            drawn.append(rows)
            count -= len(rows)
            if not count:
                break
            taken_out.append(self._take_out(rows))
        for rows, weights in taken_out:
            self.set(rows, weights)
        return np.concatenate(drawn)

    def _take_out(self, rows: Rows) -> tuple[Rows, npt.NDArray[np.float32]]:
        weights = self._weights[rows]
        self.set(rows, 0.0)
        return rows, weights

    def _refresh_blocks(self, blocks: Rows) -> None:
        for some, weights in self._blocks(blocks):
            self._sums[some] = weights.sum(axis=1, dtype=np.float64)
            self._live[some] = np.count_nonzero(weights > self._live_above, axis=1)

    def _blocks(self, blocks: Rows) -> Iterator[tuple[Rows, npt.NDArray[np.float32]]]:
        """These blocks, in rising order, some at a time, with their weights [some, rows of a block].

        The last block comes alone where it has fewer rows than the others.
        """
        whole = len(self._weights) // self.BLOCK
        table = self._weights[: whole * self.BLOCK].reshape(whole, self.BLOCK)
        full, rest = blocks[blocks < whole], blocks[blocks >= whole]
        for start in range(0, len(full), self._AT_ONCE):
            some = full[start : start + self._AT_ONCE]
            yield some, table[some]
        if len(rest):
            yield rest, self._weights[np.newaxis, whole * self.BLOCK :]

    @staticmethod
    def _first_occurrences(rows: Rows) -> Rows:
        return rows[np.sort(np.unique(rows, return_index=True)[1])]

    def _with_replacement(self, count: int, rng: np.random.Generator) -> Rows:
        ends = np.cumsum(self._sums)
        points = rng.random(count) * ends[-1]
        blocks = self._locate(ends, points)
        within = points - (ends - self._sums)[blocks]
        rows = np.empty(count, np.int64)
        touched, counts = np.unique(blocks, return_counts=True)
        places = iter(np.split(np.argsort(blocks, kind="stable"), np.cumsum(counts)[:-1]))
        for some, weights in self._blocks(touched):
            for block, ends, here in zip(some, np.cumsum(weights, axis=1, dtype=np.float64), places, strict=False):
                rows[here] = block * self.BLOCK + self._locate(ends, within[here])
        return rows

    @staticmethod
    def _locate(ends: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> Rows:
        """Index of the interval that contains each point; a point rounded past an edge gets one of positive length."""
        first_positive = np.searchsorted(ends, 0.0, side="right")
        last_positive = np.searchsorted(ends, ends[-1], side="left")
        found: Rows = np.searchsorted(ends, points, side="right")
        np.maximum(found, first_positive, out=found)
        np.minimum(found, last_positive, out=found)
        return found
