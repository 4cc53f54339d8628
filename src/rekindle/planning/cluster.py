"""A simulated cluster: rollout workers with long-tailed latencies around a real scheduler, in simulated time.

A rollout occupies one slot of a worker for as long as its tokens take; a group is told when its last rollout ends, and
fails as a whole now and then. A trainer beside the workers takes the groups of a step and makes new weights live
``update_seconds`` later. Requests are asked when a slot is free, so they have the newest version. No clock is
read but the processor's, around every call of the scheduler.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import Fate, Group, GroupRequest, Rollout

__all__ = ["LATENCIES", "MEAN_TOKENS", "MOST_TOKENS", "Cluster", "ClusterSettings", "Measured", "Player", "run"]

_T = TypeVar("_T")
Latency = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
"""(generator, number) -> [number] tokens of rollouts, before the limit."""

MEAN_TOKENS = 1_800.0
"""Mean tokens of a rollout in all of ``LATENCIES``."""
MOST_TOKENS = 16_384
LENGTHS_AT_ONCE = 65_536
CALLS = 10_000


def _lognormal(rng: np.random.Generator, number: int) -> npt.NDArray[np.float64]:
    """Median 1,200 tokens, mean 1,800."""
    return rng.lognormal(np.log(1200.0), 0.9, number)


def _pareto(rng: np.random.Generator, number: int) -> npt.NDArray[np.float64]:
    """At least 600 tokens, exponent 1.5, mean 1,800 without the limit."""
    return 600.0 * (1.0 + rng.pareto(1.5, number))


LATENCIES: dict[str, Latency] = {"lognormal": _lognormal, "pareto": _pareto}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """A cluster.

    Attributes:
        workers: Rollout workers.
        slots: Rollouts that a worker samples at a time.
        tokens_per_second: Of a rollout.
        spread: Standard deviation of the logarithm of the workers' speeds.
        update_seconds: From the groups of a step to new weights.
        failures: Share of groups that fail.
        latency: Entry of ``LATENCIES``.
        mean_tokens: Mean length that the latency is scaled to.
        seed: Seed of lengths, speeds and failures.
    """

    workers: int = 512
    slots: int = 8
    tokens_per_second: float = 30.0
    spread: float = 0.1
    update_seconds: float = 60.0
    failures: float = 0.001
    latency: str = "lognormal"
    mean_tokens: float = MEAN_TOKENS
    seed: int = 0


class Player(Protocol):
    """A simulated policy on a cluster."""

    def play(self, request: GroupRequest, tokens: Sequence[float]) -> list[Rollout]:
        """The rollouts of a request, which have these lengths."""
        ...

    def update(self, groups: Sequence[Group]) -> None:
        """Note the groups of the next update."""
        ...

    def record(self, records: Sequence[GroupRecord]) -> None:
        """Note the records of a finished step."""
        ...


class Cluster:
    """Slots, and the rollouts that wait for one or run in one.

    Args:
        settings: Of the cluster.

    Attributes:
        now: Simulated seconds.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        rng = np.random.default_rng((settings.seed, 0))
        self._speeds = (settings.tokens_per_second * rng.lognormal(0.0, settings.spread, settings.workers)).tolist()
        self._free = deque(range(settings.workers)) * settings.slots
        self._waiting: deque[tuple[int, float]] = deque()
        self._events: list[tuple[float, int, int, int]] = []
        """(time, running number, worker, request); worker -1: the update of the trainer."""
        self._count = 0
        self.now = self._begun = 0.0
        self._slots = settings.workers * settings.slots

    @property
    def busy(self) -> float:
        """Share of the slots' seconds in which they had a rollout."""
        to_come = sum(at - self.now for at, _, worker, _ in self._events if worker >= 0)
        return (self._begun - to_come) / (self.now * self._slots)

    @property
    def wants_requests(self) -> bool:
        """Whether a slot has nothing to do."""
        return bool(self._free) and not self._waiting

    def submit(self, request_id: int, tokens: Sequence[float]) -> None:
        """Queue the rollouts of a request."""
        self._waiting.extend((request_id, length) for length in tokens)
        self._start()

    def train(self, seconds: float) -> None:
        """Begin an update."""
        self._push(self.now + seconds, -1, -1)

    def next(self) -> int | None:
        """Go on to the next end; return the request whose rollout ended, None for the update."""
        self.now, _, worker, request_id = heappop(self._events)
        if worker < 0:
            return None
        self._free.append(worker)
        self._start()
        return request_id

    def _start(self) -> None:
        while self._free and self._waiting:
            worker, (request_id, length) = self._free.popleft(), self._waiting.popleft()
            seconds = length / self._speeds[worker]
            self._begun += seconds
            self._push(self.now + seconds, worker, request_id)

    def _push(self, at: float, worker: int, request_id: int) -> None:
        self._count += 1
        heappush(self._events, (at, self._count, worker, request_id))


@dataclass(slots=True)
class Measured:
    """What a run was measured to do.

    Attributes:
        cpu: CPU seconds inside the scheduler, by step.
        seconds: Simulated seconds from one update to the next, by step.
        asked: Groups whose step was taken, by step.
        ages: Trained groups by age in updates.
        rollouts: Rollouts of the steps taken, by fate.
        busy: Share of the slots' seconds in which they had a rollout.
    """

    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    ages: Counter[int] = field(default_factory=Counter)
    rollouts: Counter[Fate] = field(default_factory=Counter)
    busy: float = 0.0


class _Driver:
    """The driver's side: the scheduler, with the CPU time of its calls."""

    def __init__(self, scheduler: Scheduler, player: Player) -> None:
        self.scheduler, self.player, self.measured = scheduler, player, Measured()
        self._spent = self._updated_at = self._clock = 0.0
        for _ in range(CALLS):
            self.timed(int)
        self._clock, self._spent = self._spent / CALLS, 0.0  # CPU seconds of an empty call

    def timed(self, function: Callable[..., _T], *arguments: object) -> _T:
        began = time.process_time()
        result = function(*arguments)
        self._spent += time.process_time() - began - self._clock
        return result

    def take(self) -> bool:
        """Whether the groups of a step are on their way to the trainer."""
        groups = self.timed(self.scheduler.take)
        if groups is None:
            return False
        self.measured.ages.update(self.scheduler.version - group.request.version for group in groups)
        self.player.update(groups)
        return True

    def advance(self, now: float) -> None:
        """Make new weights live: the end of a step."""
        self.timed(self.scheduler.advance, self.scheduler.version + 1)
        records: list[GroupRecord] = self.timed(self.scheduler.drain_records)
        self.player.record(records)
        measured = self.measured
        for record in records:
            measured.rollouts[record.fate] += record.request.n
        measured.asked.append(len(records))
        measured.seconds.append(now - self._updated_at)
        measured.cpu.append(self._spent)
        self._spent, self._updated_at = 0.0, now


@dataclass(slots=True)
class _Played:
    """A request, the lengths of its rollouts, and how many of them have not ended."""

    request: GroupRequest
    tokens: Sequence[float]
    left: int

    def is_last(self) -> bool:
        """Count an end; return whether it was the last."""
        self.left -= 1
        return self.left == 0


def run(
    scheduler: Scheduler,
    settings: ClusterSettings,
    player: Player,
    steps: int,
    on_step: Callable[[int], bool] = lambda _: True,
) -> Measured:
    """Run a scheduler on a cluster until this many updates are made, or until it asks for nothing.

    Args:
        scheduler: The real scheduler of a recipe.
        settings: Of the cluster.
        player: The policy.
        steps: Updates.
        on_step: Called with the number of updates after each; False ends the run.
    """
    driver, cluster = _Driver(scheduler, player), Cluster(settings)
    rng, lengths = np.random.default_rng((settings.seed, 1)), _lengths(settings)
    playing: dict[int, _Played] = {}
    training = blocked = complete = False
    while len(driver.measured.cpu) < steps:
        while not blocked and cluster.wants_requests:
            request = driver.timed(scheduler.ask)
            blocked = request is None
            if request is not None:
                tokens = lengths(request.n)
                playing[request.id] = _Played(request, tokens, request.n)
                cluster.submit(request.id, tokens)
        if complete and not training and driver.take():
            cluster.train(settings.update_seconds)
            training = True
        complete = False
        if not (playing or training):
            break
        ended = cluster.next()
        if ended is None:
            driver.advance(cluster.now)
            if not on_step(len(driver.measured.cpu)):
                break
            training, blocked, complete = False, False, True
        elif playing[ended].is_last():
            played = playing.pop(ended)
            failed = rng.random() < settings.failures
            driver.timed(scheduler.tell, ended, None if failed else player.play(played.request, played.tokens))
            blocked, complete = False, True
    driver.measured.busy = cluster.busy
    return driver.measured


def _lengths(settings: ClusterSettings) -> Callable[[int], list[float]]:
    """A function from a number of rollouts to their lengths, which are drawn many at a time."""
    rng, latency = np.random.default_rng((settings.seed, 2)), LATENCIES[settings.latency]
    ready: list[float] = []

    def lengths(number: int) -> list[float]:
        nonlocal ready
        while len(ready) < number:
            drawn = np.minimum(latency(rng, LENGTHS_AT_ONCE), MOST_TOKENS) * (settings.mean_tokens / MEAN_TOKENS)
            ready = drawn.tolist() + ready
        taken, ready[-number:] = ready[-number:], []
        return taken

    return lengths
