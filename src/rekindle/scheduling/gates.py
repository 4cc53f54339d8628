"""Which groups may enter an update."""

from collections.abc import Callable

from rekindle.types import Group, Outcome

__all__ = ["GATES", "Gate", "everything", "has_signal", "not_all_wrong", "nothing"]

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


GATES: dict[str, Gate] = {gate.__name__: gate for gate in (has_signal, not_all_wrong, everything)}
"""Those that ``train.gate`` names; a run whose every group is held back trains on nothing, so ``nothing`` is not."""
