"""Steps of a scheduler inside another trainer: ask, play and tell until there is something to train on.

steps.next() -> training samples     the other trainer updates the policy on them
steps.finish(update)                 the new weights are live

An environment that returns before all its requests are played has ``in_flight``; it is asked again until a step is
complete, and goes on playing during the update. With ``train.max_off_policy_steps`` the requests of further steps are
out before a step is taken; what is played of them is part of the state.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.config import Config
from rekindle.integrations.recorded_run import RecordedRun
from rekindle.learning.credit import Credit
from rekindle.learning.samples import build_samples
from rekindle.records.clock import StepClock
from rekindle.records.endings import stop_after
from rekindle.records.supply import GivenTasks, Supply
from rekindle.records.update_stats import UpdateStats
from rekindle.scheduling import serialization
from rekindle.scheduling.rollout_columns import ReadColumns, RolloutColumns
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import (
    Environment,
    Group,
    GroupRequest,
    Outcome,
    Rollout,
    TrainingSample,
    UserError,
    outcome_of,
    usable,
)

__all__ = ["Steps"]

NO_REWARD = "no reward: every reward function returned None"
"""Cause of a rollout's failure where no reward function returned a number."""


@dataclass(frozen=True, slots=True)
class _Played:
    """A request that was played, and told to the scheduler.

    Attributes:
        request: The request.
        rollouts: Its rollouts; empty where the attempt failed.
        seconds: From the ask to the tell.
    """

    request: GroupRequest
    rollouts: Sequence[Rollout]
    seconds: float

    def to_json(self, columns: RolloutColumns) -> dict[str, Any]:
        return {
            "request": serialization.request_to_json(self.request),
            "rollouts": [serialization.rollout_to_json(one, columns) for one in self.rollouts],
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], columns: ReadColumns) -> "_Played":
        rollouts = [serialization.rollout_from_json(one, columns) for one in value["rollouts"]]
        return cls(serialization.request_from_json(value["request"]), rollouts, value["seconds"])


class Steps:
    """The steps of a run.

    Args:
        config: The run's settings.
        scheduler: Selects prompts and groups.
        credit: Turns groups into training samples.
        environment: Plays the requests; its exceptions end the run. Its ``in_flight``, if it has one, is the number of
            requests that are still played.
        record: Account of the run.
        supply: Adds tasks before each step, and has samples of its own for the update; None: tasks are given.
        counts_silent: Whether rollouts of groups without signal count in the denominators of the loss: they are then
            among the samples, with advantages of 0, and a step without signal is an update as well.

    Attributes:
        clock: Clock of the step that is being made.
        groups: Groups of the last update.
        settled: Ids of all requests whose fate was decided since the last update.
        over: Why there are no further steps, as a sentence; empty while there are.
    """

    def __init__(
        self,
        config: Config,
        scheduler: Scheduler,
        credit: Credit,
        environment: Environment,
        record: RecordedRun,
        *,
        supply: Supply | None = None,
        counts_silent: bool = False,
    ) -> None:
        self.over = ""
        self.groups: Sequence[Group] = ()
        self.settled: list[int] = []
        self._length, self._most_skipped = config.train.steps, config.optimizer.max_skipped_steps
        self._train = config.train.model_copy(update={"steps": None, "rollouts": None, "tokens": None})
        self._scheduler, self._credit, self._environment, self._record = scheduler, credit, environment, record
        self._supply: Supply = supply or GivenTasks()
        self._counts_silent, self._silent = counts_silent, list[TrainingSample]()
        self._requests: dict[int, GroupRequest] = {}
        self._played: dict[int, list[_Played]] = {}
        """By step; the steps were not taken."""
        self.clock = self._new_clock()

    def _new_clock(self) -> StepClock:
        return StepClock(self._seconds)

    def _seconds(self) -> Mapping[str, float]:
        """Seconds since the start by phase, of environment and supply."""
        seconds = Counter(self._environment.seconds)
        seconds.update(self._supply.seconds)
        return seconds

    def _counts(self) -> Counter[str]:
        """Events counted since the start, by environment and supply."""
        return Counter({**self._environment.counts, **self._supply.counts})

    def next(self) -> list[TrainingSample] | None:
        """The samples of the next step that has some; None where the run is over, and ``over`` says why.

        Raises:
            UserError: No reward function returned a number for any rollout of a step.
        """
        self.settled = []
        if self._record.skipped >= self._most_skipped:
            self.over = self._bound()
        while not self.over:
            self.clock, counts = self._new_clock(), self._counts()
            self._supply.prepare(self._record.step + 1, self._record.version)
            wanted = self._scheduler.groups_per_step
            groups = self._collected()
            played = self._played.pop(self._record.step + 1, ())
            for one in played:
                self._record.note(one.request, one.rollouts)
            if groups is None:
                self.over = self._scheduler.stopped or "the scheduler has no further requests"
                break
            with self.clock.timed("schedule"):
                records, samples = self._scheduler.drain_records(), build_samples(groups, self._credit)
                supplied = self._supply.conclude(self._record.step + 1, records)
                samples += supplied.samples
            self.groups = groups
            self.settled += [record.request.id for record in (*records, *supplied.records)]
            self._record.collected(
                records,
                samples,
                {one.request.id: one.seconds for one in played},
                self._scheduler.pool,
                wanted,
                supplied=supplied,
                levels=self._supply.levels,
                counts={key: total - counts[key] for key, total in self._counts().items()},
            )
            if samples or self._silent:
                return samples + self._silent
            self.finish(None)
            self._record.write()
            self._record.tell()  # no log of the other trainer will
            self.over = self._bound()
        return None

    def finish(self, update: UpdateStats | None, **further: Any) -> None:
        """End the step with the numbers of its update; None: there was none.

        Args:
            update: Numbers of the update.
            further: Further metrics of the step.
        """
        self._record.finished(update, self._scheduler.pool, **self.clock.read(), **further)
        moved = update.moved or 0.0 if update is not None else 0.0
        self._scheduler.advance(self._record.version, moved)

    def _bound(self) -> str:
        stop = stop_after(
            self._record.step,
            train=self._train,
            spent={},
            stopped=self._scheduler.stopped,
            without_signal=self._record.without_signal,
            skipped=(self._record.skipped, self._most_skipped),
            last=self._record.line,
        )
        return "" if stop is None else stop.why

    def state_dict(self) -> dict[str, Any]:
        """State between two steps: what was played of further steps, with its tokens as arrays in ``rollouts``."""
        columns = RolloutColumns()
        played = [one.to_json(columns) for several in self._played.values() for one in several]
        return {"played": played, "rollouts": columns.arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        self._played, columns = {}, ReadColumns(state["rollouts"])
        for one in state["played"]:
            self._keep(_Played.from_json(one, columns))

    def _keep(self, played: _Played) -> None:
        self._played.setdefault(played.request.step, []).append(played)

    def _collected(self) -> list[Group] | None:
        """The groups of the next step; None where the scheduler has no further requests."""
        rollouts = unjudged = 0
        self._silent = []
        while True:
            with self.clock.timed("schedule"):
                asks = self._asks_ahead or not self._in_flight
                groups = None if asks else self._scheduler.take()
                requests = list(iter(self._scheduler.ask, None)) if asks else []
                if groups is None and not requests:
                    groups = self._scheduler.take()
            if groups is not None and rollouts and unjudged == rollouts:
                raise UserError(
                    f"every reward function returned None for all {rollouts} completions of step "
                    f"{self._record.step + 1}, so there is nothing to learn from; return a number for each completion"
                )
            if groups is not None or not (requests or self._in_flight):
                return groups
            played = self._play(requests)
            rollouts += len(played)
            unjudged += sum(one.failure == NO_REWARD for one in played)

    @property
    def _asks_ahead(self) -> bool:
        """Whether the steps that the scheduler may begin are steps of the run."""
        last = self._record.step + 1 + self._train.max_off_policy_steps
        return self._length is None or last <= self._length

    @property
    def _in_flight(self) -> int:
        return getattr(self._environment, "in_flight", 0)

    def _play(self, requests: Sequence[GroupRequest]) -> list[Rollout]:
        self._requests |= {request.id: request for request in requests}
        before, found = sum(self._environment.seconds.values()), list[Rollout]()
        failed, played = list[str](), 0
        for request_id, rollouts in self._environment.play(requests):
            request, played = self._requests.pop(request_id), played + 1
            spent = sum(self._environment.seconds.values()) - before
            with self.clock.timed("schedule"):
                self._scheduler.tell(request_id, rollouts)
            self._keep(_Played(request, rollouts or (), spent))
            found += rollouts or ()
            failed += sorted({one.failure or "void" for one in rollouts or () if one.void})[:1]
            if self._counts_silent and (judged := usable(rollouts)) and not _has_signal(judged):
                self._silent += [_without_advantage(request, one) for one in judged]
        if failed:
            reasons = ", ".join(sorted(set(failed)))
            self._record.warn(f"{len(failed)} of {played} groups failed ({reasons}) and are not trained on")
        return found


def _has_signal(rollouts: Sequence[Rollout]) -> bool:
    return outcome_of([one.reward for one in rollouts]) is Outcome.MIXED


def _without_advantage(request: GroupRequest, rollout: Rollout) -> TrainingSample:
    return TrainingSample(
        token_ids=rollout.token_ids,
        loss_mask=rollout.loss_mask,
        logprobs=rollout.logprobs,
        advantages=[0.0] * len(rollout.loss_mask),
        temperature=rollout.temperature,
        weight=0.0,
        version=rollout.version,
        prompt_key=request.id,
    )
