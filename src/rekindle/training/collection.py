"""Rollout collection: ask, play and tell until the groups of a step are complete."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rekindle.records.activity import Activity, Part
from rekindle.records.clock import StepClock
from rekindle.scheduling.scheduler import Scheduler
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


class RolloutCollector:
    """Collector that plays a scheduler's requests in an environment.

    Args:
        scheduler: Source of requests.
        environment: Environment that plays them.
        warn: Called with a message about failed groups.
        note: Called with every request that was played, and its rollouts.
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

    def collect(self, clock: StepClock) -> Collected | None:
        """The groups of the next step; None when the scheduler has no further requests."""
        scheduler, seconds = self._scheduler, dict[int, float]()
        self._activity.begin(Part.ROLLING_OUT)
        while True:
            with clock.timed("schedule"):
                groups = scheduler.take()
                requests = [] if groups is not None else list(iter(scheduler.ask, None))
                if groups is None and not requests:  # a growing pool may have no prompts for this step
                    groups = scheduler.take()
            if groups is not None:
                return Collected(groups, seconds)
            if not requests:
                return None
            self._play(requests, seconds, clock)

    def _play(self, requests: Sequence[GroupRequest], seconds: dict[int, float], clock: StepClock) -> None:
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
                seconds[request_id] = time.perf_counter() - began
                with clock.timed("schedule"):
                    self._scheduler.tell(request_id, rollouts)
                    self._note(by_id[request_id], rollouts or ())
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
            self._scheduler.tell(request_id, None)
            seconds[request_id] = time.perf_counter() - began


def _void(rollouts: Sequence[Rollout]) -> str:
    """Reasons why a group is void; empty where it is not."""
    return ", ".join(sorted({one.failure or "void" for one in rollouts if one.void}))
