"""A fuzzing target: one reader of foreign files or texts, and what it may answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mutation import Inputs

__all__ = ["TARGETS", "Attempt", "Target", "target"]

Attempt = Callable[[Inputs], object]
"""Gives one random input to a reader."""


@dataclass(frozen=True, slots=True)
class Target:
    """A reader.

    Attributes:
        name: Its name on the command line.
        prepare: Makes the attempts; what they write is below the directory.
        refusals: Errors besides ``UserError`` with which the reader refuses an input.
    """

    name: str
    prepare: Callable[[Path], Attempt]
    refusals: tuple[type[Exception], ...] = field(default=())


TARGETS: dict[str, Target] = {}
"""All targets by name."""


def target(*refusals: type[Exception]) -> Callable[[Callable[[Path], Attempt]], Callable[[Path], Attempt]]:
    """Register a function that prepares attempts; its name is the target's."""

    def registered(prepare: Callable[[Path], Attempt]) -> Callable[[Path], Attempt]:
        TARGETS[prepare.__name__] = Target(prepare.__name__, prepare, refusals)
        return prepare

    return registered
