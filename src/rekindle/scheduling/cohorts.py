"""A cohort: the requests of one step, from drawn to taken."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from rekindle.scheduling import serialization
from rekindle.scheduling.accounting import Settled
from rekindle.types import Group, GroupRequest

__all__ = ["Cohort"]


@dataclass(slots=True)
class Cohort:
    """The requests of one step on their way from drawn (rows, with their sizes) over asked (open) to told (groups).

    ``unfinished`` holds groups that may be topped up, by the id of their first request; ``tops_up`` says which group a
    further request belongs to.
    """

    step: int
    target: int
    rows: deque[tuple[int, int]]
    reissue: deque[GroupRequest] = field(default_factory=deque)
    open: dict[int, GroupRequest] = field(default_factory=dict)
    unfinished: dict[int, Group] = field(default_factory=dict)
    tops_up: dict[int, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    drawn: set[int] = field(default_factory=set)
    rounds: int = 0
    taken: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything that was drawn is told."""
        return not (self.rows or self.reissue or self.open)

    def to_json(self) -> dict[str, Any]:
        """Plain values; requests in flight are saved as asked and will be asked again."""
        again = [*self.reissue, *self.open.values()]
        return {
            "step": self.step,
            "target": self.target,
            "rows": [list(pair) for pair in self.rows],
            "again": [serialization.request_to_json(request) for request in sorted(again, key=lambda one: one.id)],
            "unfinished": [serialization.group_to_json(group) for group in self.unfinished.values()],
            "tops_up": [list(pair) for pair in self.tops_up.items()],
            "groups": [serialization.group_to_json(group) for group in self.groups],
            "settled": [] if self.taken else [serialization.settled_to_json(one) for one in self.settled],
            "drawn": sorted(self.drawn),
            "rounds": self.rounds,
            "taken": self.taken,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """Inverse of ``to_json``."""
        return cls(
            step=saved["step"],
            target=saved["target"],
            rows=deque((row, n) for row, n in saved["rows"]),
            reissue=deque(serialization.request_from_json(request) for request in saved["again"]),
            unfinished={group.request.id: group for group in map(serialization.group_from_json, saved["unfinished"])},
            tops_up=dict(saved["tops_up"]),
            groups=[serialization.group_from_json(group) for group in saved["groups"]],
            settled=[serialization.settled_from_json(one) for one in saved["settled"]],
            drawn=set(saved["drawn"]),
            rounds=saved["rounds"],
            taken=saved["taken"],
        )
