"""Rollout collection: ask, play and tell until the groups of a step are complete.

With ``train.max_off_policy_steps`` = K > 0, the rollouts of the K steps after it are collected too, before its update:

    collect 1: play steps 1 .. K + 1, take 1 · update · collect 2: play step K + 2, take 2 · update · ...

so every batch after the K-th lags behind by exactly K updates.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.records.activity import Activity, Part
from rekindle.records.clock import StepClock
from rekindle.scheduling.rollout_columns import ReadColumns, RolloutColumns
from rekindle.scheduling.scheduler import Scheduler
from rekindle.scheduling.serialization import (
    request_from_json,
    request_to_json,
    rollout_from_json,
    rollout_to_json,
)
from rekindle.types import Environment, Group, GroupRequest, Rollout, UserError

__all__ = ["Collected", "RolloutCollector"]


@dataclass(frozen=True, slots=True)
class Collected:
    """The rollouts of a step.

    Attributes:
        groups: Groups of the update.
        seconds: Seconds from ask to tell, by request id, for all requests of the step.
    """

    groups: list[Group]
    seconds: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class _Played:
    """A request that was told, until its step is taken."""

    request: GroupRequest
    rollouts: Sequence[Rollout]
    seconds: float


class RolloutCollector:
    """Collector that plays a scheduler's requests in an environment.

    Args:
        scheduler: Source of requests.
        environment: Environment that plays them.
        warn: Called with a message about failed groups.
        note: Called with every request of a step, and its rollouts, once the groups of the step are taken.
        activity: Gets the number of rollouts requested and finished.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        environment: Environment,
        warn: Callable[[str], None],
        note: Callable[[GroupRequest, Sequence[Rollout]], None] = lambda request, rollouts: None,
        activity: Activity | None = None,
    ) -> None:
        self._scheduler, self._environment, self._warn, self._note = scheduler, environment, warn, note
        self._activity = activity or Activity()
        self._played: dict[int, list[_Played]] = {}
        """By step; the steps were not taken."""

    def collect(self, step: int, clock: StepClock, *, ahead: bool = True) -> Collected | None:
        """The groups of the next step; None when the scheduler has no further requests.

        Args:
            step: Number of the step.
            clock: Clock of the step.
            ahead: Whether to begin further steps where the scheduler has room, although the next one is complete.
        """
        scheduler = self._scheduler
        self._activity.begin(Part.ROLLING_OUT)
        while True:
            with clock.timed("schedule"):
                groups = None if ahead else scheduler.take()
                requests = [] if groups is not None else list(iter(scheduler.ask, None))
                if groups is None and not requests:
                    groups = scheduler.take()
            if groups is not None:
                return Collected(groups, self._noted(step, clock))
            if not requests:
                return None
            self._play(requests, clock)

    def _noted(self, step: int, clock: StepClock) -> dict[int, float]:
        """Note the rollouts of a step; return its seconds by request id."""
        played = self._played.pop(step, [])
        with clock.timed("schedule"):
            for one in played:
                self._note(one.request, one.rollouts)
        return {one.request.id: one.seconds for one in played}

    def state_dict(self) -> dict[str, Any]:
        """Rollouts of steps that were not taken: JSON values, and their tokens as arrays in ``rollouts``."""
        columns = RolloutColumns()
        played = [_to_json(one, columns) for _, ones in sorted(self._played.items()) for one in ones]
        return {"played": played, "rollouts": columns.arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; states of format 1 have no ``rollouts``."""
        columns = ReadColumns(state["rollouts"]) if "rollouts" in state else None
        self._played = {}
        for request, rollouts, seconds in state.get("played", ()):
            told = _Played(request_from_json(request), [rollout_from_json(one, columns) for one in rollouts], seconds)
            self._played.setdefault(told.request.step, []).append(told)

    def _play(self, requests: Sequence[GroupRequest], clock: StepClock) -> None:
        """Play and tell requests; an exception of the environment becomes the fate FAILED of the open groups."""
        began = time.perf_counter()
        by_id = {request.id: request for request in requests}
        open_ids = set(by_id)
        failure, void = "the environment did not return it", list[str]()
        self._activity.expect(sum(request.n for request in requests))
        try:
            for request_id, rollouts in self._environment.play(requests):
                open_ids.discard(request_id)
                self._activity.tell(by_id[request_id].n)
                with clock.timed("schedule"):
                    self._tell(by_id[request_id], rollouts, began)
                    if reason := _void(rollouts or ()):
                        void.append(reason)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary: a failure becomes a fate)
            failure = f"{type(error).__name__}: {error}"
        for failed, why in ((void, ", ".join(sorted(set(void)))), (open_ids, failure)):
            if failed:
                self._warn(f"{len(failed)} of {len(requests)} groups failed ({why})")
        for request_id in sorted(open_ids):
            self._tell(by_id[request_id], None, began)

    def _tell(self, request: GroupRequest, rollouts: Sequence[Rollout] | None, began: float) -> None:
        seconds = time.perf_counter() - began
        self._scheduler.tell(request.id, rollouts)
        self._played.setdefault(request.step, []).append(_Played(request, rollouts or (), seconds))


def _to_json(played: _Played, columns: RolloutColumns) -> list[Any]:
    rollouts = [rollout_to_json(one, columns) for one in played.rollouts]
    return [request_to_json(played.request), rollouts, played.seconds]


def _void(rollouts: Sequence[Rollout]) -> str:
    """Reasons why a group is void; empty where it is not."""
    return ", ".join(sorted({one.failure or "void" for one in rollouts if one.void}))
