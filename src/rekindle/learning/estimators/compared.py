"""The estimator type that the training loop calls, its input, and adapters for pure functions of rewards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

__all__ = [
    "Compared",
    "Estimator",
    "flatten",
    "over_batch",
    "over_units",
    "per_group",
    "split_like",
    "units_of",
    "with_parameters",
]


@dataclass(frozen=True, slots=True)
class Compared:
    """One group as input of an estimator, e.g. ``Compared([1.0, 0.0, 0.0], successes=2.5, failures=1.5)``.

    Attributes:
        rewards: [n] rewards of the group's rollouts.
        successes: The prompt's (discounted) Beta count of successes before this visit, prior included.
        failures: The same for failures. Both are 0 for a prompt without history.
        units: [n] how often each rollout counts in the mean that the loss is: its tokens in a mean over tokens, 1 in a
            mean over rollouts. Empty: 1 each.
    """

    rewards: Sequence[float]
    successes: float = 0.0
    failures: float = 0.0
    units: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Estimator:
    """An advantage function over the groups of a batch, with its scope and needs.

    Attributes:
        function: ``groups [g] -> advantages [g][n]``, in order; group sizes may differ.
        scope: "group": a group's advantages depend on that group alone. "batch": on every group of the batch.
        description: One line for the list of estimators.
        needs_group: It compares the rollouts of one prompt: a group of one, or of equal rewards, has advantage 0.
        needs_binary_rewards: It counts successes.
        needs_positive_rewards: It divides by a mean of rewards, which must be at least 0.
        reads_history: It asks for the prompts' Beta counts.
        rescales_for_silence: It gives groups with signal the share of those without, which must be in the batch.
        balances_each_step: Its advantages are signs; every optimizer step gives both signs the same total weight.
        parameters: Names of its settings, which ``build`` takes by keyword; empty: it has none.
        build: Makes the estimator with other settings than those of ``function``.
    """

    function: Callable[[Sequence[Compared]], list[list[float]]]
    scope: Literal["group", "batch"]
    description: str = ""
    needs_group: bool = False
    needs_binary_rewards: bool = False
    needs_positive_rewards: bool = False
    reads_history: bool = False
    rescales_for_silence: bool = False
    balances_each_step: bool = False
    parameters: tuple[str, ...] = ()
    build: "Callable[..., Estimator] | None" = None

    @property
    def scales_by_batch(self) -> bool:
        """Whether a group is compared with itself, in a unit that is the whole batch's."""
        return self.needs_group and self.scope == "batch"

    def tuned(self, settings: Mapping[str, Any]) -> "Estimator":
        """The estimator with those of the settings that are its parameters; the others have their defaults."""
        if self.build is None:
            return self
        return self.build(**{name: settings[name] for name in self.parameters if name in settings})


def per_group(function: Callable[[Sequence[float]], list[float]], description: str = "") -> Estimator:
    """Estimator that compares within groups: the function is called once per group."""
    return Estimator(lambda groups: [function(group.rewards) for group in groups], "group", description, True)


def over_batch(function: Callable[[Sequence[float]], list[float]], description: str = "") -> Estimator:
    """Estimator that compares across the batch: the function is called once, with all rewards."""
    return over_units(lambda rewards, _: function(rewards), description)


def over_units(
    function: Callable[[Sequence[float], Sequence[float]], list[float]],
    description: str,
    *,
    needs_binary_rewards: bool = False,
    balances_each_step: bool = False,
) -> Estimator:
    """Estimator that compares across the batch: the function is called once, with all rewards and their units."""
    return Estimator(
        lambda groups: split_like(groups, function(flatten(groups), units_of(groups))),
        "batch",
        description,
        needs_binary_rewards=needs_binary_rewards,
        balances_each_step=balances_each_step,
    )


def with_parameters(build: Callable[..., Estimator], *parameters: str) -> Estimator:
    """The estimator that ``build`` makes with its defaults, and again with other values of these settings."""
    return replace(build(), parameters=parameters, build=build)


def flatten(groups: Sequence[Compared]) -> list[float]:
    """The rewards of every group, one after the other."""
    return [reward for group in groups for reward in group.rewards]


def units_of(groups: Sequence[Compared]) -> list[float]:
    """The units of every group's rollouts, one after the other."""
    return [unit for group in groups for unit in (group.units or [1.0] * len(group.rewards))]


def split_like(groups: Sequence[Compared], values: Sequence[float]) -> list[list[float]]:
    """The inverse of ``flatten``: one list per group, as long as the group."""
    remaining = iter(values)
    return [list(islice(remaining, len(group.rewards))) for group in groups]
