"""Players of a run: the supply of its tasks, and the environment that plays them."""

from dataclasses import dataclass

from rekindle.records.supply import Supply
from rekindle.types import Environment

__all__ = ["Players"]


@dataclass(frozen=True, slots=True)
class Players:
    """The supply and the environment of a run.

    Attributes:
        supply: Provides the tasks of a step.
        environment: Plays the tasks.
    """

    supply: Supply
    environment: Environment
