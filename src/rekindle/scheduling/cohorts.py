"""Cohorts: the requests of one step, from the draw to the update.

At most ``max_off_policy_steps + 1`` cohorts are open at a time, which bounds the age of a batch.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from rekindle.scheduling import serialization
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.rollout_columns import ReadColumns, RolloutColumns
from rekindle.types import Group, GroupRequest

__all__ = ["Cohort", "OpenCohorts"]


@dataclass(slots=True, kw_only=True)
class Cohort:
    """The requests of one step.

    Attributes:
        step: Number of the step.
        target: Most groups of its update.
        rows: Drawn prompts without a request yet, with their group sizes.
        reissue: Requests that go out before new ones: top-ups, and requests of a restored run.
        open: Requests that were asked and not yet told, by id.
        unfinished: Groups that may be topped up, by the id of their first request.
        tops_up: Id of a group's first request, by the id of a further request of the group.
        groups: Groups that passed the gate.
        records: Records of groups with a final fate.
        drawn: Every row that was drawn.
        rounds: Draws after the first.
        undecided: Whether all requests were told, and it is not decided yet whether there are further ones.
        taken: Whether the groups of the update were handed out.
    """

    step: int
    target: int
    rows: deque[tuple[int, int]] = field(default_factory=deque)
    reissue: deque[GroupRequest] = field(default_factory=deque)
    open: dict[int, GroupRequest] = field(default_factory=dict)
    unfinished: dict[int, Group] = field(default_factory=dict)
    tops_up: dict[int, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    records: list[GroupRecord] = field(default_factory=list)
    drawn: set[int] = field(default_factory=set)
    rounds: int = 0
    undecided: bool = False
    taken: bool = False

    @property
    def complete(self) -> bool:
        """Whether all requests were told."""
        return not (self.rows or self.reissue or self.open)

    def add_draw(self, rows: Sequence[int], sizes: Sequence[int]) -> None:
        """Add the prompts of a draw, with their group sizes."""
        self.rows.extend(zip(rows, sizes, strict=True))
        self.drawn.update(rows)

    def add_top_up(self, request: GroupRequest, first: int) -> None:
        """Add a further request for the group whose first request has the id ``first``."""
        self.tops_up[request.id] = first
        self.reissue.append(request)

    def close(self, request: GroupRequest) -> Group | None:
        """Close a told request; return its unfinished group, None where it is the first request of its group."""
        del self.open[request.id]
        return self.unfinished.pop(self.tops_up.pop(request.id, -1), None)

    def take(self) -> list[Group]:
        """Return the groups that passed the gate, ordered by request id, and mark the cohort as taken."""
        self.taken = True
        groups, self.groups = sorted(self.groups, key=lambda group: group.request.id), []
        return groups

    def chosen(self, groups: Sequence[Group], seed: int) -> set[int]:
        """Request ids of at most ``target`` of these groups, drawn uniformly at random."""
        ids = [group.request.id for group in groups]
        if len(ids) <= self.target:
            return set(ids)
        rng = np.random.default_rng((seed, self.step, 0, 1))
        return set(rng.choice(ids, self.target, replace=False).tolist())

    def to_json(self, columns: RolloutColumns) -> dict[str, Any]:
        """JSON values; requests in flight are saved and go out again after a restore.

        Args:
            columns: Take the tokens of the rollouts.
        """
        again = [*self.reissue, *self.open.values()]
        return {
            "step": self.step,
            "target": self.target,
            "rows": [list(pair) for pair in self.rows],
            "again": [serialization.request_to_json(request) for request in sorted(again, key=lambda one: one.id)],
            "unfinished": [serialization.group_to_json(group, columns) for group in self.unfinished.values()],
            "tops_up": [list(pair) for pair in self.tops_up.items()],
            "groups": [serialization.group_to_json(group, columns) for group in self.groups],
            "records": [] if self.taken else [serialization.record_to_json(one) for one in self.records],
            "drawn": sorted(self.drawn),
            "rounds": self.rounds,
            "undecided": self.undecided,
            "taken": self.taken,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], columns: ReadColumns | None) -> Self:
        """Inverse of ``to_json``."""
        unfinished = [serialization.group_from_json(group, columns) for group in saved["unfinished"]]
        return cls(
            step=saved["step"],
            target=saved["target"],
            rows=deque((row, n) for row, n in saved["rows"]),
            reissue=deque(serialization.request_from_json(request) for request in saved["again"]),
            unfinished={group.request.id: group for group in unfinished},
            tops_up=dict(saved["tops_up"]),
            groups=[serialization.group_from_json(group, columns) for group in saved["groups"]],
            records=[serialization.record_from_json(one) for one in saved["records"]],
            drawn=set(saved["drawn"]),
            rounds=saved["rounds"],
            undecided=saved.get("undecided", False),
            taken=saved["taken"],
        )


class OpenCohorts:
    """The open cohorts, oldest first.

    Args:
        most: Largest number of open cohorts.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._cohorts: deque[Cohort] = deque()

    def __iter__(self) -> Iterator[Cohort]:
        return iter(self._cohorts)

    def __len__(self) -> int:
        return len(self._cohorts)

    @property
    def full(self) -> bool:
        """Whether no further cohort may begin."""
        return len(self._cohorts) >= self._most

    def add(self, cohort: Cohort) -> None:
        """Begin a cohort."""
        self._cohorts.append(cohort)

    def to_reissue(self) -> Cohort | None:
        """The oldest cohort with a top-up, or a request of a restored run."""
        return next((cohort for cohort in self._cohorts if cohort.reissue), None)

    def to_ask(self) -> Cohort | None:
        """The oldest cohort with a request to send; those of ``to_reissue`` go first."""
        return self.to_reissue() or next((cohort for cohort in self._cohorts if cohort.rows), None)

    def to_take(self) -> Cohort | None:
        """The oldest cohort that was not taken; None until it is complete."""
        cohort = next((cohort for cohort in self._cohorts if not cohort.taken), None)
        return cohort if cohort is not None and cohort.complete else None

    def holding(self, request_id: int) -> Cohort:
        """The cohort of an open request.

        Raises:
            ValueError: The request is not open.
        """
        for cohort in self._cohorts:
            if request_id in cohort.open:
                return cohort
        raise ValueError(
            f"request {request_id} is not open: it was never asked or is told already; tell every request once"
        )

    def in_flight(self) -> set[int]:
        """Rows that were drawn for cohorts that were not taken."""
        return {row for cohort in self._cohorts if not cohort.taken for row in cohort.drawn}

    def drop_taken(self) -> None:
        """Remove the taken cohorts at the front."""
        while self._cohorts and self._cohorts[0].taken:
            self._cohorts.popleft()

    def state_dict(self) -> dict[str, Any]:
        """JSON values of all cohorts in ``cohorts``, and the tokens of their rollouts as arrays in ``rollouts``."""
        columns = RolloutColumns()
        return {"cohorts": [cohort.to_json(columns) for cohort in self._cohorts], "rollouts": columns.arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the cohorts with saved ones; those of format 1 have no ``rollouts``."""
        columns = ReadColumns(state["rollouts"]) if "rollouts" in state else None
        self._cohorts = deque(Cohort.from_json(one, columns) for one in state["cohorts"])
