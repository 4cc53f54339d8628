"""Parts of a generated task: one to choose settings on, and one to report.

A hash assigns each problem to one part, so that no problem of the one is in the other, whatever the seed and the size.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum

from rekindle.tasks.task_set import TaskError

__all__ = ["Part", "has", "read_part"]


class Part(StrEnum):
    """Problems that ``task.params part`` chooses."""

    ALL = "all"
    DEVELOPMENT = "development"
    FINAL = "final"


def read_part(params: Mapping[str, object]) -> Part:
    """``part`` of ``task.params``; all where it is not given.

    Raises:
        TaskError: It is none of the three.
    """
    chosen = params.get("part", Part.ALL)
    if chosen not in list(Part):
        raise TaskError(f"task.params part = {chosen!r} must be one of {', '.join(Part)}")
    return Part(str(chosen))


def has(part: Part, problem: str) -> bool:
    """Whether a part has a problem; half of all problems are in each, whatever their other splits."""
    if part is Part.ALL:
        return True
    odd = hashlib.blake2b(f"part {problem}".encode(), digest_size=1).digest()[0] % 2
    return (part is Part.FINAL) == bool(odd)
