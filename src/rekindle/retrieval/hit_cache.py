"""Cache of a retriever's answers, bounded in number and in bytes."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence

from rekindle.retrieval.retriever import Hit

__all__ = ["HitCache", "bytes_of"]

HIT_BYTES = 250
"""Memory of a hit and its document without their texts."""
ENTRY_BYTES = 500
"""Memory of an entry without its query and hits."""


class HitCache:
    """Least-recently-used cache of hits by (query, k). Thread-safe.

    Args:
        size: Most answers.
        most_bytes: Most bytes of all; a single answer of more than a tenth of it is not kept.
    """

    def __init__(self, size: int, most_bytes: int) -> None:
        self._size, self._most = size, most_bytes
        self._kept: OrderedDict[tuple[str, int], tuple[list[Hit], int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> list[Hit] | None:
        """The hits of a query; None where they are not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: tuple[str, int], hits: list[Hit]) -> None:
        """Keep the hits of a query; the least recently used ones make room."""
        cost = ENTRY_BYTES + sys.getsizeof(key[0]) + bytes_of(hits)
        with self._lock:
            self._bytes -= self._kept.pop(key, ([], 0))[1]
            if cost * 10 > self._most:
                return
            self._kept[key] = (hits, cost)
            self._bytes += cost
            while len(self._kept) > self._size or self._bytes > self._most:
                self._bytes -= self._kept.popitem(last=False)[1][1]


def bytes_of(hits: Sequence[Hit]) -> int:
    """Memory of hits, with the texts of their documents."""
    return sum(
        HIT_BYTES
        + sys.getsizeof(hit.document.id)
        + sys.getsizeof(hit.document.title)
        + sys.getsizeof(hit.document.text)
        for hit in hits
    )
