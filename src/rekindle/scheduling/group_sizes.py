"""How many rollouts a prompt gets: functions of its row in the history."""

from collections.abc import Callable

from rekindle.scheduling.history import History

__all__ = ["GroupSize", "fixed"]

GroupSize = Callable[[History, int], int]


def fixed(n: int) -> GroupSize:
    """Every group has ``n`` rollouts."""
    if n < 1:
        raise ValueError(f"group size {n} is below 1; use at least 1, or 2 for group-relative advantages")
    return lambda history, row: n
