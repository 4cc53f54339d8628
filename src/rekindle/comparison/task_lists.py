"""Whether two runs have the same tasks, from ``tasks.jsonl``, which has a hash of every prompt."""

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

__all__ = ["RunTasks", "read_tasks"]

_SKETCH = 512
"""Smallest hashes kept of a pool: pools that share a part of their prompts share some of these."""
_POOL_READ = 200_000
"""Most prompts of a pool that are looked at."""


@dataclass(frozen=True, slots=True)
class RunTasks:
    """Tasks of a run.

    Attributes:
        held_out: Digest of the held-out prompts, in any order and whatever their ids; "" where none are listed.
        pool: The smallest hashes of the prompts of the pool; empty where none are listed.
    """

    held_out: str = ""
    pool: frozenset[str] = frozenset()

    def differ(self, other: "RunTasks") -> bool:
        """Whether the held-out prompts differ; where some are not listed, whether the pools have none in common."""
        if self.held_out and other.held_out:
            return self.held_out != other.held_out
        return bool(self.pool and other.pool) and not self.pool & other.pool


def read_tasks(path: Path) -> RunTasks:
    """Read a list of tasks; a missing or damaged one is an empty list."""
    try:
        held_out = sorted({str(line["prompt"]) for line in _lines(path, "held_out")})
        pool = (str(line["prompt"]) for line in islice(_lines(path, "pool"), _POOL_READ))
        smallest = frozenset(heapq.nsmallest(_SKETCH, set(pool)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return RunTasks()
    digest = hashlib.sha256("\n".join(held_out).encode("utf-8", "replace")).hexdigest()
    return RunTasks(digest if held_out else "", smallest)


def _lines(path: Path, part: str) -> Iterator[Mapping[str, Any]]:
    mark = f'"{part}"'.encode()
    with path.open("rb") as file:
        for line in file:
            if mark in line and (found := json.loads(line)).get("set") == part:
                yield found
