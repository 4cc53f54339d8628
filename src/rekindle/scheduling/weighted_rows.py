"""Weighted draws without replacement from millions of rows, used by every pool."""

from collections.abc import Collection

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
        for block in range(len(self._sums)):
            self._refresh_block(block)

    def set(self, rows: npt.ArrayLike, weight: npt.ArrayLike) -> None:
        """Set the weight of ``rows``, one for all or one each."""
        rows = np.asarray(rows, np.int64)
        self._weights[rows] = weight
        for block in np.unique(rows // self.BLOCK):
            self._refresh_block(int(block))

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

    def _refresh_block(self, block: int) -> None:
        weights = self._weights[block * self.BLOCK : (block + 1) * self.BLOCK]
        self._sums[block] = weights.sum(dtype=np.float64)
        self._live[block] = np.count_nonzero(weights > self._live_above)

    @staticmethod
    def _first_occurrences(rows: Rows) -> Rows:
        return rows[np.sort(np.unique(rows, return_index=True)[1])]

    def _with_replacement(self, count: int, rng: np.random.Generator) -> Rows:
        ends = np.cumsum(self._sums)
        points = rng.random(count) * ends[-1]
        blocks = self._locate(ends, points)
        within = points - (ends - self._sums)[blocks]
        rows = np.empty(count, np.int64)
        for block in np.unique(blocks):
            here = blocks == block
            weights = self._weights[block * self.BLOCK : (block + 1) * self.BLOCK]
            rows[here] = block * self.BLOCK + self._locate(np.cumsum(weights, dtype=np.float64), within[here])
        return rows

    @staticmethod
    def _locate(ends: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> Rows:
        """Index of the interval that contains each point; a point rounded past an edge gets one of positive length."""
        first_positive = np.searchsorted(ends, 0.0, side="right")
        last_positive = np.searchsorted(ends, ends[-1], side="left")
        return np.clip(np.searchsorted(ends, points, side="right"), first_positive, last_positive)
