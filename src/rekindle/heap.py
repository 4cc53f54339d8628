"""Exclusion of what stays in memory from garbage collection."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["freeze_until_the_end", "frozen_heap"]

_entered = 0
"""Nested contexts that have frozen the heap."""


@contextmanager
def frozen_heap(make: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Exclude the objects that exist from garbage collection; the outermost context ends that.

    The collector would visit the objects of the libraries and the task set again and again, and free none of them.
    A process that has frozen objects itself is left as it is, because what is unfrozen is unfrozen for all.

    Args:
        make: Makes further objects that stay, such as those of imports; meanwhile nothing is collected.
    """
    global _entered  # noqa: PLW0603  (the heap is one, too)
    if not _entered and gc.get_freeze_count():
        make()
        yield
        return
    _freeze(make)
    _entered += 1
    try:
        yield
    finally:
        _entered -= 1
        if not _entered:
            gc.unfreeze()


def freeze_until_the_end() -> None:
    """Collect no garbage any more, because the process ends.

    The interpreter would visit all objects of the libraries several times at its end: 1.9 s with torch and
    transformers, now 0.3 s. Exit handlers and finalizers run as before, but for objects in reference cycles.
    """
    gc.disable()
    gc.freeze()


def _freeze(make: Callable[[], object]) -> None:
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        make()
        gc.freeze()
    finally:
        if collects:
            gc.enable()
