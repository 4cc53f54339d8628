"""Which groups may enter an update."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rekindle.types import Group, Outcome

__all__ = ["GATES", "Gate", "GateChoice", "everything", "has_signal", "not_all_wrong", "nothing"]

Gate = Callable[[Group], bool]


def has_signal(group: Group) -> bool:
    """Rewards that are not all equal. Group-relative advantages of any other group are all zero."""
    return group.outcome is Outcome.MIXED


def not_all_wrong(group: Group) -> bool:
    """Keep all-correct groups as well, for methods that give them a signal of their own."""
    return group.outcome is not Outcome.ALL_WRONG


def everything(_: Group) -> bool:
    """Keep all groups; without signal they add no gradient but count in the loss's denominators."""
    return True


def nothing(_: Group) -> bool:
    """Learn from no group: the policy plays as a fixed opponent. Their fate is the pool's for groups without signal."""
    return False


@dataclass(frozen=True, slots=True)
class GateChoice:
    """An entry of the table of gates.

    Attributes:
        passes: The gate.
        description: One line for the list of gates.
        drops: Outcomes of the groups that it holds back.
    """

    passes: Gate
    description: str
    drops: frozenset[Outcome]

    @property
    def needs_binary_rewards(self) -> bool:
        """Whether it tells solved groups from unsolved ones, and not only equal rewards from different ones."""
        return (Outcome.ALL_CORRECT in self.drops) != (Outcome.ALL_WRONG in self.drops)


GATES: Mapping[str, GateChoice] = MappingProxyType(
    {
        "has_signal": GateChoice(
            has_signal,
            "groups whose rewards differ",
            frozenset({Outcome.ALL_CORRECT, Outcome.ALL_WRONG}),
        ),
        "not_all_wrong": GateChoice(
            not_all_wrong,
            "groups with a success, for methods that give all-correct groups an advantage",
            frozenset({Outcome.ALL_WRONG}),
        ),
        "everything": GateChoice(
            everything, "all groups; those without signal count in the loss's denominators", frozenset()
        ),
    }
)
"""The gates that a configuration may choose. ``nothing`` is not among them: such a run would train on no group."""
