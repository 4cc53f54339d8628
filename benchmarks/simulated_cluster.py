"""A simulated cluster: rollout workers with long-tailed latencies around a real scheduler, in simulated time.

A rollout occupies one slot of a worker for as long as its tokens take; a group is told when its last rollout ends, and
fails as a whole now and then. A trainer beside the workers takes the groups of a step and makes new weights live
``update_seconds`` later. Requests are asked when a slot is free, so they have the newest version. No clock is
read but the processor's, around every call of the scheduler.
"""

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rekindle import Rollout, Scheduler
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.seeding import mixed_seed
from rekindle.types import Fate, GroupRequest

__all__ = ["LATENCIES", "Cluster", "ClusterSettings", "Measured", "Player", "run"]

_T = TypeVar("_T")
Latency = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
"""(generator, number) -> [number] tokens of rollouts, before the limit."""

PROMPT_TOKENS = 256
MOST_TOKENS = 16_384
LENGTHS = tuple(128 * 2**power for power in range(8))
"""Lengths of the rollouts that are told, in tokens."""
RATES = 4096
CALLS = 10_000
NEVER, ALWAYS = 0.15, 0.15
"""Shares of prompts that the start policy never and always solves."""


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
        seed: Seed of lengths, speeds and failures.
    """

    workers: int = 512
    slots: int = 8
    tokens_per_second: float = 30.0
    spread: float = 0.1
    update_seconds: float = 60.0
    failures: float = 0.001
    latency: str = "lognormal"
    seed: int = 0


class Player:
    """A simulated policy: a pass rate per prompt, by a hash of its row, whose odds rise by ``gain`` per update.

    It holds nothing per prompt. Rollouts are shared objects with token lists of realistic length.

    Args:
        gain: Rise of every prompt's log-odds per update.
        prompt_tokens: Tokens of a prompt.
        lengths: Lengths of the rollouts that are told, rising; a rollout has the first that is not below its own.
    """

    def __init__(
        self, gain: float = 0.01, prompt_tokens: int = PROMPT_TOKENS, lengths: Sequence[int] = LENGTHS
    ) -> None:
        quantiles = np.clip((np.arange(RATES) / RATES - NEVER) / (1 - NEVER - ALWAYS), 0.0, 1.0)
        with np.errstate(divide="ignore"):
            self._logits = 6.0 * (quantiles - 0.5) + np.log(quantiles > 0) - np.log(quantiles < 1)
        self._gain = gain
        self._rates: dict[int, list[float]] = {}
        self._lengths = lengths
        self._rollouts = [[_rollout(prompt_tokens, length, reward) for length in lengths] for reward in (0.0, 1.0)]

    def play(self, request: GroupRequest, tokens: Sequence[float]) -> list[Rollout]:
        """Rollouts of these lengths; rewards depend on the request's seed alone."""
        rate = self._rates_of(request.version)[mixed_seed(1, request.row) % RATES]
        wins = [mixed_seed(request.seed, index) < rate * 2.0**63 for index in range(request.n)]
        last = len(self._lengths) - 1
        places = [min(bisect_left(self._lengths, length), last) for length in tokens]
        return [self._rollouts[win][place] for win, place in zip(wins, places, strict=True)]

    def _rates_of(self, version: int) -> list[float]:
        if version not in self._rates:
            self._rates[version] = (1.0 / (1.0 + np.exp(-(self._logits + self._gain * version)))).tolist()
        return self._rates[version]


def _rollout(prompt: int, length: int, reward: float) -> Rollout:
    mask = [False] * prompt + [True] * length
    return Rollout(token_ids=[7] * len(mask), loss_mask=mask, logprobs=[-0.5] * len(mask), reward=reward)


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

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler, self.measured = scheduler, Measured()
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
        return True

    def advance(self, now: float) -> None:
        """Make new weights live: the end of a step."""
        self.timed(self.scheduler.advance, self.scheduler.version + 1)
        records: list[GroupRecord] = self.timed(self.scheduler.drain_records)
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


def run(scheduler: Scheduler, settings: ClusterSettings, player: Player, steps: int) -> Measured:
    """Run a scheduler on a cluster until this many updates are made."""
    driver, cluster = _Driver(scheduler), Cluster(settings)
    rng, latency = np.random.default_rng((settings.seed, 1)), LATENCIES[settings.latency]
    playing: dict[int, _Played] = {}
    training = blocked = complete = False
    while len(driver.measured.cpu) < steps:
        while not blocked and cluster.wants_requests:
            request = driver.timed(scheduler.ask)
            blocked = request is None
            if request is not None:
                tokens = np.minimum(latency(rng, request.n), MOST_TOKENS).tolist()
                playing[request.id] = _Played(request, tokens, request.n)
                cluster.submit(request.id, tokens)
        if complete and not training and driver.take():
            cluster.train(settings.update_seconds)
            training = True
        complete = False
        ended = cluster.next()
        if ended is None:
            driver.advance(cluster.now)
            training, blocked, complete = False, False, True
        elif playing[ended].is_last():
            played = playing.pop(ended)
            failed = rng.random() < settings.failures
            driver.timed(scheduler.tell, ended, None if failed else player.play(played.request, played.tokens))
            blocked, complete = False, True
    driver.measured.busy = cluster.busy
    return driver.measured
