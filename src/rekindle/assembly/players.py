"""Players of a run: what makes its tasks, and what plays them."""

from dataclasses import dataclass

from rekindle.training.supply import Supply
from rekindle.types import Environment

__all__ = ["Players"]


@dataclass(frozen=True, slots=True)
class Players:
    """Both sides of a step.

    Attributes:
        supply: Makes the tasks.
        environment: Plays them.
    """

    supply: Supply
    environment: Environment
