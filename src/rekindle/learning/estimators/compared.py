"""The estimator type that the training loop calls, its input, and adapters for pure functions of rewards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

__all__ = ["Compared", "Estimator", "flatten", "over_batch", "per_group", "split_like"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One group as input of an estimator, e.g. ``Compared([1.0, 0.0, 0.0], successes=2.5, failures=1.5)``.

    Attributes:
        rewards: [n] rewards of the group's rollouts.
        successes: The prompt's (discounted) Beta count of successes before this visit, prior included.
        failures: The same for failures. Both are 0 for a prompt without history.
    """

    rewards: Sequence[float]
    successes: float = 0.0
    failures: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimator:
    """An advantage function over the groups of a batch, with its scope.

    Attributes:
        function: ``groups [g] -> advantages [g][n]``, in order; group sizes may differ.
        scope: "group": a group's advantages depend on that group alone. "batch": on every group of the batch.
        reads_history: Whether the function reads the prompts' Beta counts.
    """

    function: Callable[[Sequence[Compared]], list[list[float]]]
    scope: Literal["group", "batch"]
    reads_history: bool = False


def per_group(function: Callable[[Sequence[float]], list[float]]) -> Estimator:
    """Estimator that compares within groups: the function is called once per group."""
    return Estimator(lambda groups: [function(group.rewards) for group in groups], "group")


def over_batch(function: Callable[[Sequence[float]], list[float]]) -> Estimator:
    """Estimator that compares across the batch: the function is called once, with all rewards."""
    return Estimator(lambda groups: split_like(groups, function(flatten(groups))), "batch")


def flatten(groups: Sequence[Compared]) -> list[float]:
    """The rewards of every group, one after the other."""
    return [reward for group in groups for reward in group.rewards]


def split_like(groups: Sequence[Compared], values: Sequence[float]) -> list[list[float]]:
    """The inverse of ``flatten``: one list per group, as long as the group."""
    remaining = iter(values)
    return [list(islice(remaining, len(group.rewards))) for group in groups]
