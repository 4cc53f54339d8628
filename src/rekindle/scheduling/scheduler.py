"""The scheduler: an ask/tell interface that selects prompts to roll out and groups to train on.

The scheduler does no input or output, reads no clock and starts no thread. The caller plays the requests in any order,
at any time:

    while True:
        while (request := scheduler.ask()) is not None:
            scheduler.tell(request.id, play(request))
        groups = scheduler.take()          # the groups of one update, once the step's requests are told
        train(groups); scheduler.advance(version)

The requests of one step are a *cohort* (``cohorts``). All randomness is derived from (seed, step) and (seed, request),
so there is no generator state to save. Further requests of a step, its top-ups and refills, are decided at the next
``ask`` or ``take``, step by step. The order of the tells between two of these calls therefore changes nothing, also
with several steps in flight. What does change the run is which tells come before an ``ask`` that begins a step or
decides on further requests: it knows the groups that were told, and no others.

With a growing pool, a step without prompts still counts: ``ask`` returns None, ``take`` returns an empty list, and the
next step draws again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rekindle.scheduling import gates, group_sizes, temperatures
from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.cohorts import Cohort, OpenCohorts
from rekindle.scheduling.draws import Draws
from rekindle.scheduling.group_records import GroupRecord, failure_record, records_of
from rekindle.scheduling.groups import extended, new_group
from rekindle.scheduling.pools import Pool
from rekindle.scheduling.refills import Refill
from rekindle.scheduling.requests import RequestMaker
from rekindle.scheduling.top_ups import TopUp
from rekindle.types import Fate, Group, GroupRequest, Rollout, usable

__all__ = ["Scheduler"]

Waiting = Literal["", "capacity", "exhausted"]


class Scheduler:
    """Scheduler of rollouts: selects prompts, and the groups of each update.

    Args:
        pool: Pool of prompts.
        groups_per_step: B, the most groups of one update.
        oversample: k, prompts drawn per step are k * B.
        group_size: Rollouts per prompt, for all prompts of a draw; unused where the pool prescribes a size.
        rollouts_per_step: With a pool that prescribes the group size, B is this divided by the size; None: B stays.
        temperature: Sampling temperature per prompt.
        gate: Rule for which groups may enter an update.
        refill: Further draws inside a step while fewer than B groups pass the gate.
        top_up: Rule for further rollouts of a prompt; they are asked when all open requests are told.
        max_off_policy_steps: Largest number of updates by which a batch may lag behind.
        success_at: A reward of at least this much is a success.
        seed: Seed of draws, selections and rollouts.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        groups_per_step: int,
        oversample: int = 1,
        group_size: group_sizes.GroupSize | None = None,
        rollouts_per_step: int | None = None,
        temperature: temperatures.Temperature | None = None,
        gate: gates.Gate = gates.has_signal,
        refill: Refill | None = None,
        top_up: TopUp | None = None,
        max_off_policy_steps: int = 0,
        success_at: float = 0.5,
        seed: int = 0,
    ) -> None:
        check_bounds("give at least 1", ge=1, groups_per_step=groups_per_step, oversample=oversample)
        check_bounds("give at least 0", ge=0, max_off_policy_steps=max_off_policy_steps, seed=seed)
        self.pool = pool
        self.history = pool.history
        self.version = 0
        self.waiting: Waiting = ""
        self.stopped: str | None = None
        """Reason why there are no further steps, as a sentence; None while there are."""
        self._draws = Draws(
            pool,
            groups_per_step=groups_per_step,
            oversample=oversample,
            group_size=group_size or group_sizes.fixed(4),
            rollouts_per_step=rollouts_per_step,
            seed=seed,
        )
        self._temperature = temperature or temperatures.fixed(1.0)
        self._gate, self._refill, self._top_up, self._success_at, self._seed = gate, refill, top_up, success_at, seed
        self._max_off_policy_steps = max_off_policy_steps
        self._next_step = 1
        self._requests = RequestMaker(self.history, self._temperature, seed)
        self._cohorts = OpenCohorts(max_off_policy_steps + 1)
        self._records: list[GroupRecord] = []

    @property
    def groups_per_step(self) -> int:
        """B of the next step."""
        return self._draws.groups_per_step

    # -- ask ----------------------------------------------------------------------------------------------------------

    def ask(self) -> GroupRequest | None:
        """The next group to roll out, or None.

        With None, ``waiting`` is "capacity" (tell, take or advance first) or "exhausted" (no eligible prompt).
        """
        if self._cohorts.to_reissue() is None:  # a restored run is to decide when the one that went on does
            self._decide()
        cohort = self._cohorts.to_ask() or self._open_cohort()
        if cohort is None:
            return None
        self.waiting = ""
        if cohort.reissue:
            request = cohort.reissue.popleft()
        else:
            row, n = cohort.rows.popleft()
            request = self._requests.first(row, n=n, version=self.version, step=cohort.step)
        cohort.open[request.id] = request
        return request

    def _open_cohort(self) -> Cohort | None:
        """Begin the next step if there is room and the pool has prompts or grows; None where the step has no rows."""
        if self.stopped or self._cohorts.full:
            self.waiting = "exhausted" if self.stopped else "capacity"
            return None
        cohort = self._draws.begin(self._next_step, self._cohorts.in_flight())
        drawn = bool(cohort.rows)
        self.waiting = "" if drawn else "capacity"
        if not drawn and len(self._cohorts):  # prompts in flight may come back, or new ones arrive
            return None
        if not drawn and (self.pool.finished or not self.pool.grows):
            self.waiting = "exhausted"
            self.stopped = self.pool.finished or (
                'the pool has no eligible prompt left and does not reset (on_empty = "stop"); add prompts, or set '
                'on_empty = "reset"'
            )
            return None
        self._next_step += 1
        self._cohorts.add(cohort)
        return cohort if drawn else None

    # -- tell ---------------------------------------------------------------------------------------------------------

    def tell(self, request_id: int, rollouts: Sequence[Rollout] | None) -> Fate:
        """Hand in a request's rollouts, in any order, exactly once; None when the attempt failed.

        A group with a void rollout fails as a whole, because the other rollouts may be a biased sample.

        Returns:
            The preliminary fate of the group. TRAINED means accepted for an update; ``take`` may still change it to
            EXCESS or EXPIRED. The record has the final fate.

        Raises:
            ValueError: The request is unknown or was told before, or the number of rollouts is not the one asked for.
        """
        cohort = self._cohorts.holding(request_id)
        request = cohort.open[request_id]
        if rollouts is not None and len(rollouts) != request.n:
            wrong = f"request {request_id} asked for {request.n} rollouts and got {len(rollouts)}"
            raise ValueError(f"{wrong}; tell all of them, or None for a failure")
        fate = self._file(cohort, request, rollouts)
        cohort.undecided = cohort.complete
        return fate

    def _file(self, cohort: Cohort, request: GroupRequest, rollouts: Sequence[Rollout] | None) -> Fate:
        """Add rollouts to their group, which is then unfinished, complete or failed."""
        begun, played = cohort.close(request), usable(rollouts)
        if played is None:
            cohort.records.append(failure_record(request, rollouts or ()))
            if begun is not None:  # rollouts sampled before the failure count
                self._enter(cohort, begun)
            return Fate.FAILED
        if begun is None:
            group = new_group(request, played, self.history.before(request.row), self._success_at)
        else:
            group = extended(begun, request, played, self._success_at)
        if self._top_up is not None and self._top_up(group.rewards, 1 + len(group.topped_up)):
            cohort.unfinished[group.request.id] = group
            return Fate.TRAINED if self._gate(group) else self.pool.no_signal
        return self._enter(cohort, group)

    def _enter(self, cohort: Cohort, group: Group) -> Fate:
        """Record a complete group in the history, and apply the gate."""
        self.history.record_group(group, self._success_at)
        self._temperature.learn(self.history, group.request.row, group.outcome)
        if self._gate(group):
            cohort.groups.append(group)
            return Fate.TRAINED
        cohort.records += records_of(group, self.pool.no_signal, self._success_at)
        return self.pool.no_signal

    def _decide(self) -> None:
        """Decide on further requests of the steps whose requests were all told."""
        for cohort in self._cohorts:
            if cohort.undecided:
                cohort.undecided = False
                if not self._ask_for_more(cohort):
                    self._draw_again(cohort)

    def _ask_for_more(self, cohort: Cohort) -> bool:
        """Top up all unfinished groups, in the order of their first requests, so that the ids and seeds of the new
        requests do not depend on the order of tells."""
        for first, group in sorted(cohort.unfinished.items()):
            if self._top_up is None:
                break
            more = self._top_up(group.rewards, 1 + len(group.topped_up))
            cohort.add_top_up(self._requests.further(group.request, n=more, version=self.version), first)
        return bool(cohort.reissue)

    def _draw_again(self, cohort: Cohort) -> None:
        """Refill: draw one more round, unless the bound is reached."""
        refill = self._refill
        if refill is None or len(cohort.groups) >= cohort.target:
            return
        if cohort.rounds < refill.max_rounds and (
            self._draws.again(cohort, self._cohorts.in_flight()) or self.pool.grows
        ):
            return
        found = len(cohort.groups)
        why = refill.why_stopped(step=cohort.step, rounds=cohort.rounds, found=found, target=cohort.target)
        self.stopped = why or self.stopped

    # -- take and advance ---------------------------------------------------------------------------------------------

    def take(self) -> list[Group] | None:
        """The groups of the oldest complete step, at most B; None while it is not complete.

        An empty list is a step without signal. Of more than B groups, B are chosen uniformly at random.
        """
        self._decide()
        cohort = self._cohorts.to_take()
        if cohort is None:
            return None
        groups, oldest = cohort.take(), self.version - self._max_off_policy_steps
        current = [group for group in groups if group.request.version >= oldest]
        chosen = cohort.chosen(current, self._seed) if not self.stopped else set()
        for group in groups:
            expired, trained = group.request.version < oldest, group.request.id in chosen
            fate = Fate.EXPIRED if expired else Fate.TRAINED if trained else Fate.EXCESS
            cohort.records += records_of(group, fate, self._success_at)
        self.pool.update(cohort.records)
        self._records += cohort.records
        return [group for group in current if group.request.id in chosen]

    def advance(self, version: int, moved: float = 0.0) -> None:
        """Announce new weights: later requests are sampled by ``version``, and the slots of taken steps are free.

        Args:
            version: Version of the weights.
            moved: Movement of the policy in the update, mean |change of log p| per token in nats; it discounts the
                posterior of the prompts (``belief.Belief``).

        Raises:
            ValueError: The version is older than the live one.
        """
        if version < self.version:
            raise ValueError(f"version {version} is older than the live version {self.version}; versions only grow")
        self.version = version
        self.history.moved(moved)
        self._cohorts.drop_taken()

    def drain_records(self) -> list[GroupRecord]:
        """Records of the steps taken since the last call, ordered by request id: the rows of the ledger."""
        records, self._records = sorted(self._records, key=lambda one: one.request.id), []
        return records

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State for an exact resume: arrays in ``history``, ``pool`` and ``rollouts``, JSON values elsewhere.

        Requests in flight are saved and go out again after a restore, with the same ids and seeds.
        """
        assert not self._records, "call drain_records() before saving, or the ledger loses these rows"
        return {
            "version": self.version,
            "next_step": self._next_step,
            "next_request": self._requests.next_id,
            "stopped": self.stopped,
            "pool": self.pool.state_dict(),
            "history": self.history.state_dict(),
            **self._cohorts.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` saved, into a scheduler with the same settings and prompts.

        Restore the ids of prompts that were added during the run first (``GrowingPool.restore_ids``).
        """
        self.history.load_state_dict(state["history"])
        self.pool.load_state_dict(state["pool"])
        self.version, self.stopped = state["version"], state["stopped"]
        self._next_step, self._requests.next_id = state["next_step"], state["next_request"]
        self._cohorts.load_state_dict(state)
        self._records = []
