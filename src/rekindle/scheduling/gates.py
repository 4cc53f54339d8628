"""Gates: rules for which groups may enter an update."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rekindle.types import Group, Outcome

__all__ = ["GATES", "Gate", "GateChoice", "everything", "has_signal", "not_all_wrong", "nothing"]

Gate = Callable[[Group], bool]
"""Rule for one group: whether it may enter an update."""


def has_signal(group: Group) -> bool:
    """Pass groups whose rewards differ. Group-relative advantages of all other groups are zero."""
    return group.outcome is Outcome.MIXED


def not_all_wrong(group: Group) -> bool:
    """Pass mixed and all-correct groups, for methods that give all-correct groups an advantage."""
    return group.outcome is not Outcome.ALL_WRONG


def everything(_: Group) -> bool:
    """Pass all groups; those without signal add no gradient but count in the loss's denominators."""
    return True


def nothing(_: Group) -> bool:
    """Pass no group, for a fixed policy in self-play. The fate of the groups is the pool's ``no_signal``."""
    return False


@dataclass(frozen=True, slots=True)
class GateChoice:
    """An entry of the table of gates.

    Attributes:
        passes: The gate.
        description: One line for the list of gates.
        drops: Outcomes of the groups that it drops.
    """

    passes: Gate
    description: str
    drops: frozenset[Outcome]

    @property
    def needs_binary_rewards(self) -> bool:
        """Whether the gate distinguishes all-correct from all-wrong groups."""
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
"""Gates by the name in a configuration. ``nothing`` is left out, because such a run would train on no group."""
