"""Ask and tell: which prompt to roll out next, and what becomes of the groups that come back.

The scheduler does no input or output, reads no clock and starts no thread. Whoever drives it plays the requests in
any order, at any time:

    while True:
        while (request := scheduler.ask()) is not None:
            scheduler.tell(request.id, play(request))
        groups = scheduler.take()          # the groups of one update, once the step's requests are told
        train(groups); scheduler.advance(version)

A *cohort* is the requests of one step. At most ``max_off_policy_steps + 1`` cohorts are open at a time, so that no
batch is older than that when it is trained. All randomness is derived from (seed, step) and (seed, request), hence
the order of tells changes nothing and there is no generator state to save.

Over a pool that grows, a step that finds no prompts is a step all the same: ``ask`` has nothing to hand out, ``take``
gives an empty list, and the next step looks again.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from rekindle.scheduling import gates, group_sizes, temperatures
from rekindle.scheduling.accounting import Settled, settle, settle_failure
from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.cohorts import Cohort
from rekindle.scheduling.pools import Pool
from rekindle.scheduling.seeding import mixed_seed
from rekindle.scheduling.top_ups import TopUp
from rekindle.types import Fate, Group, GroupRequest, Rollout, outcome_of, usable

__all__ = ["Refill", "Scheduler"]

Waiting = Literal["", "capacity", "exhausted"]


@dataclass(frozen=True, slots=True)
class Refill:
    """DAPO's dynamic sampling (arXiv 2503.14476), with the bound that DAPO lacks.

    Attributes:
        max_rounds: Further draws of ``groups_per_step`` prompts inside a step while too few groups carry signal. One
            that finds no prompts ends the step; it exhausts a pool only if that does not grow.
        on_exhausted: "train" on the groups there are, or "stop" the run; accepted groups are never thrown away.
    """

    max_rounds: int
    on_exhausted: Literal["train", "stop"] = "train"

    def __post_init__(self) -> None:
        if self.max_rounds < 1:
            raise ValueError(f"refill of {self.max_rounds} rounds; give at least 1, or no Refill at all")


class Scheduler:
    """Decides what is rolled out and what is trained on.

    Args:
        pool: Which prompts may be drawn.
        groups_per_step: B, the most groups of one update.
        oversample: k, prompts drawn per step are k * B.
        group_size: Rollouts per prompt, for all prompts of a draw; unused where the pool prescribes a size.
        rollouts_per_step: With a pool that prescribes the group size, B is this divided by the size.
        temperature: Sampling temperature per prompt, likewise.
        gate: Which groups may enter an update.
        refill: Draw again inside a step while fewer than B groups pass the gate.
        top_up: Further rollouts for a prompt, once the first ones are known; asked when all open requests are told.
        max_off_policy_steps: How many updates a batch may lag behind.
        success_at: A reward of at least this much is a success.
        seed: Of draws, selections and rollouts.
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
        if pool.group_size is not None and rollouts_per_step is None:
            raise ValueError("the pool prescribes group sizes; give rollouts_per_step, so that a step stays as large")
        self._groups_per_step, self._rollouts_per_step, self.oversample = groups_per_step, rollouts_per_step, oversample
        self.group_size = group_size or group_sizes.fixed(4)
        self.temperature = temperature or temperatures.fixed(1.0)
        self.gate, self.refill, self.top_up, self.success_at, self.seed = gate, refill, top_up, success_at, seed
        self.max_off_policy_steps = max_off_policy_steps
        self.version = 0
        self.waiting: Waiting = ""
        self.stopped: str | None = None
        """Why the scheduler will never hand out another step, as a sentence; None while it will."""
        self._next_step, self._next_request = 1, 0
        self._cohorts: deque[Cohort] = deque()
        self._settled: list[Settled] = []

    @property
    def groups_per_step(self) -> int:
        """B of the next step."""
        if self.pool.group_size is None or self._rollouts_per_step is None:
            return self._groups_per_step
        return max(1, self._rollouts_per_step // self.pool.group_size)

    # -- ask ----------------------------------------------------------------------------------------------------------

    def ask(self) -> GroupRequest | None:
        """The next group to roll out. None: see ``waiting`` ("capacity": tell, take or advance first; "exhausted":
        the pool has nothing eligible)."""
        cohort = self._cohort_with_work() or self._open_cohort()
        if cohort is None:
            return None
        self.waiting = ""
        request = cohort.reissue.popleft() if cohort.reissue else self._request(cohort, *cohort.rows.popleft())
        cohort.open[request.id] = request
        return request

    def _cohort_with_work(self) -> Cohort | None:
        for cohort in self._cohorts:
            if cohort.reissue or cohort.rows:
                return cohort
        return None

    def _open_cohort(self) -> Cohort | None:
        """Begin the next step, where there is room and the pool has prompts or will have some; None without rows."""
        if self.stopped or len(self._cohorts) > self.max_off_policy_steps:
            self.waiting = "exhausted" if self.stopped else "capacity"
            return None
        cohort = Cohort(step=self._next_step, target=self.groups_per_step, rows=deque())
        drawn = self._draw_into(cohort, cohort.target * self.oversample)
        self.waiting = "" if drawn else "capacity"
        if not drawn and self._cohorts:  # prompts in flight may come back, or new ones arrive meanwhile
            return None
        if not drawn and (self.pool.finished or not self.pool.grows):
            self.waiting = "exhausted"
            self.stopped = self.pool.finished or (
                'the pool has no eligible prompt left and does not reset (on_empty = "stop"); add prompts, or let it'
            )
            return None
        self._next_step += 1
        self._cohorts.append(cohort)
        return cohort if drawn else None

    def _draw_into(self, cohort: Cohort, count: int) -> bool:
        in_flight = {row for other in self._cohorts if not other.taken for row in other.drawn} | cohort.drawn
        rng = np.random.default_rng((self.seed, cohort.step, cohort.rounds, 0))
        size = self.pool.group_size
        drawn = self.pool.draw(count, rng, in_flight)
        rows = drawn.tolist()
        sizes = self.group_size(self.history, drawn) if size is None else [size] * len(rows)
        cohort.rows.extend(zip(rows, sizes, strict=True))
        cohort.drawn.update(rows)
        return bool(rows)

    def _request(self, cohort: Cohort, row: int, n: int) -> GroupRequest:
        number, history = self._next_request, self.history
        self._next_request += 1
        temperature, seed = self.temperature(history, row), mixed_seed(self.seed, number)
        return GroupRequest(number, history.ids[row], row, n, temperature, seed, self.version, cohort.step)

    # -- tell ---------------------------------------------------------------------------------------------------------

    def tell(self, request_id: int, rollouts: Sequence[Rollout] | None) -> Fate:
        """Hand in a request's rollouts, in any order, exactly once; None when the attempt failed.

        A group with a void rollout fails as a whole: of what is left nobody knows whether it is a fair sample.

        Returns:
            The group's fate as things stand. TRAINED means: accepted for an update; ``take`` may still turn it into
            EXCESS or EXPIRED, and the account says which.

        Raises:
            ValueError: The request is unknown or was told before, or the number of rollouts is not the one asked for.
        """
        cohort = self._cohort_of(request_id)
        request = cohort.open[request_id]
        if rollouts is not None and len(rollouts) != request.n:
            raise ValueError(
                f"request {request_id} asked for {request.n} rollouts and got {len(rollouts)}; tell None for a failure"
            )
        del cohort.open[request_id]
        fate = self._file(cohort, request, rollouts)
        if cohort.complete and not self._ask_for_more(cohort):
            self._refill(cohort)
        return fate

    def _cohort_of(self, request_id: int) -> Cohort:
        for cohort in self._cohorts:
            if request_id in cohort.open:
                return cohort
        raise ValueError(f"request {request_id} is not open: it was never asked, or was told already; tell each once")

    def _file(self, cohort: Cohort, request: GroupRequest, rollouts: Sequence[Rollout] | None) -> Fate:
        """Put what came back where it belongs: into its group, among the unfinished ones, or with the failures."""
        begun = cohort.unfinished.pop(cohort.tops_up.pop(request.id, -1), None)
        played = usable(rollouts)
        if played is None:
            cohort.settled.append(settle_failure(request, rollouts or ()))
            if begun is not None:  # what was sampled before the failure counts
                self._enter(cohort, begun)
            return Fate.FAILED
        group = self._group(request, played) if begun is None else self._joined(begun, request, played)
        if self.top_up is not None and self.top_up(group.rewards, 1 + len(group.topped_up)):
            cohort.unfinished[group.request.id] = group
            return Fate.TRAINED if self.gate(group) else self.pool.no_signal
        return self._enter(cohort, group)

    def _group(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> Group:
        outcome = outcome_of([rollout.reward for rollout in rollouts], self.success_at)
        return Group(request, tuple(rollouts), outcome, *self.history.before(request.row))

    def _joined(self, begun: Group, request: GroupRequest, rollouts: Sequence[Rollout]) -> Group:
        together = (*begun.rollouts, *rollouts)
        outcome = outcome_of([rollout.reward for rollout in together], self.success_at)
        return replace(begun, rollouts=together, outcome=outcome, topped_up=(*begun.topped_up, request))

    def _enter(self, cohort: Cohort, group: Group) -> Fate:
        """A group is complete: the history learns of it, and the gate decides."""
        request, row = group.request, group.request.row
        self.history.record(
            row,
            group.outcome,
            successes=group.successes(self.success_at),
            n=len(group.rollouts),
            temperature=request.temperature,
            version=request.version,
        )
        self.temperature.learn(self.history, row, group.outcome)
        if self.gate(group):
            cohort.groups.append(group)
            return Fate.TRAINED
        self._settle(cohort, group, self.pool.no_signal)
        return self.pool.no_signal

    def _settle(self, cohort: Cohort, group: Group, fate: Fate) -> None:
        cohort.settled += settle(group, fate, self.success_at)

    def _ask_for_more(self, cohort: Cohort) -> bool:
        """Top up every unfinished group. All at once and in the order of their first requests, so that the ids and
        seeds of the new requests do not depend on the order of tells."""
        for first, group in sorted(cohort.unfinished.items()):
            if self.top_up is None:
                break
            more = self.top_up(group.rewards, 1 + len(group.topped_up))
            request = replace(
                group.request,
                id=self._next_request,
                n=more,
                seed=mixed_seed(self.seed, self._next_request),
                version=self.version,
            )
            cohort.tops_up[request.id] = first
            cohort.reissue.append(request)
            self._next_request += 1
        return bool(cohort.reissue)

    def _refill(self, cohort: Cohort) -> None:
        """Draw one more round, or find that the bound is reached."""
        if self.refill is None or len(cohort.groups) >= cohort.target:
            return
        if cohort.rounds < self.refill.max_rounds:
            cohort.rounds += 1
            if self._draw_into(cohort, cohort.target) or self.pool.grows:
                return
        if self.refill.on_exhausted == "stop":
            self.stopped = (
                f"step {cohort.step} found {len(cohort.groups)} of {cohort.target} groups with signal in "
                f'{cohort.rounds + 1} rounds; raise max_rounds of the refill, or set its on_exhausted = "train"'
            )

    # -- take and advance ---------------------------------------------------------------------------------------------

    def take(self) -> list[Group] | None:
        """The groups of the oldest complete step, at most B; None while it is not complete.

        An empty list is a step without signal. More groups than needed are thinned uniformly at random.
        """
        cohort = next((cohort for cohort in self._cohorts if not cohort.taken), None)
        if cohort is None or not cohort.complete:
            return None
        cohort.taken = True
        groups = sorted(cohort.groups, key=lambda group: group.request.id)
        cohort.groups = []
        oldest = self.version - self.max_off_policy_steps
        current = [group for group in groups if group.request.version >= oldest]
        chosen = self._choose(cohort, current) if not self.stopped else set()
        for group in groups:
            expired = group.request.version < oldest
            trained = group.request.id in chosen
            self._settle(cohort, group, Fate.EXPIRED if expired else Fate.TRAINED if trained else Fate.EXCESS)
        batch = [group for group in current if group.request.id in chosen]
        self.pool.settle(cohort.settled)
        self._settled += cohort.settled
        return batch

    def _choose(self, cohort: Cohort, groups: Sequence[Group]) -> set[int]:
        ids = [group.request.id for group in groups]
        if len(ids) <= cohort.target:
            return set(ids)
        rng = np.random.default_rng((self.seed, cohort.step, 0, 1))
        return set(rng.choice(ids, cohort.target, replace=False).tolist())

    def advance(self, version: int, moved: float = 0.0) -> None:
        """New weights are live: requests from now on are sampled by ``version``; slots of taken steps are free.

        Args:
            version: Of the weights.
            moved: How far the policy moved in the update, mean |change of log p| per token in nats; what is known of
                prompts is forgotten by it (see ``belief.Belief``).

        Raises:
            ValueError: Versions only grow.
        """
        if version < self.version:
            raise ValueError(f"version {version} is older than the live version {self.version}; versions only grow")
        self.version = version
        self.history.moved(moved)
        while self._cohorts and self._cohorts[0].taken:
            self._cohorts.popleft()

    def drain_settled(self) -> list[Settled]:
        """The groups of the steps taken since the last call, by request id: the rows of the ledger."""
        settled, self._settled = sorted(self._settled, key=lambda one: one.request.id), []
        return settled

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly; arrays in ``history``, JSON values elsewhere.

        Requests in flight are saved as asked and will be asked again, with the same ids and seeds.
        """
        assert not self._settled, "drain_settled() before saving, or these rows are lost to the ledger"
        return {
            "version": self.version,
            "next_step": self._next_step,
            "next_request": self._next_request,
            "stopped": self.stopped,
            "pool": self.pool.state_dict(),
            "history": self.history.state_dict(),
            "cohorts": [cohort.to_json() for cohort in self._cohorts],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` saved, into a scheduler with the same settings and prompts.

        Prompts that were added while the run went on have to be there again (``GrowingPool.restore_ids``).
        """
        self.history.load_state_dict(state["history"])
        self.pool.load_state_dict(state["pool"])
        self.version, self.stopped = state["version"], state["stopped"]
        self._next_step, self._next_request = state["next_step"], state["next_request"]
        self._cohorts = deque(Cohort.from_json(saved) for saved in state["cohorts"])
        self._settled = []
