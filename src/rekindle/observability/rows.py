"""Access to rows of the step log: numbers by key, levels, and averages over steps."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["LEVELS_SHOWN", "averages", "buckets", "by_level", "number", "shown_levels", "solver_rollouts", "total"]

LEVELS_SHOWN = 6
LARGEST = 1e300
"""Larger numbers are damage; sums and axes of them would overflow."""

_LEVEL = re.compile(r"level_(\d+)/(\w+)")


def number(row: Mapping[str, Any], key: str) -> float | None:
    """A numeric value; None when it is absent, null (was NaN) or not a finite number."""
    value = row.get(key)
    if not isinstance(value, int | float) or abs(value) > LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def total(rows: Iterable[Mapping[str, Any]], key: str) -> float:
    """The sum over the rows that have a number for ``key``."""
    return sum(number(row, key) or 0.0 for row in rows)


def solver_rollouts(row: Mapping[str, Any]) -> float:
    """Rollouts of a step without the proposer's, which has one per proposal."""
    return (number(row, "rollouts") or 0.0) - (number(row, "self_play/proposals") or 0.0)


def by_level(row: Mapping[str, Any], name: str) -> dict[int, float]:
    """A metric of every level, easiest first: ``by_level({"level_2/reward": 0.5}, "reward")`` is ``{2: 0.5}``."""
    parts = [(match, number(row, key)) for key in row if (match := _LEVEL.fullmatch(key)) and match[2] == name]
    return dict(sorted((int(match[1]), value) for match, value in parts if value is not None))


def shown_levels(levels: Iterable[int]) -> list[int]:
    """At most ``LEVELS_SHOWN`` evenly chosen levels, with the easiest and the hardest."""
    known = sorted(set(levels))
    return [known[round(place)] for place in np.linspace(0, len(known) - 1, min(LEVELS_SHOWN, len(known)))]


def buckets(count: int, limit: int) -> Iterator[slice]:
    """Split ``count`` points into at most ``limit`` slices of equal length; the last may be shorter."""
    length = max(1, -(-count // limit))
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


def averages(values: Sequence[float | None], limit: int) -> list[float | None]:
    """The mean of each bucket; None for a bucket without numbers."""
    means: list[float | None] = []
    for place in buckets(len(values), limit):
        known = [value for value in values[place] if value is not None]
        means.append(sum(known) / len(known) if known else None)
    return means
