"""The training loop: a thin loop over ask and tell.

    scheduler.ask -> environment.play -> scheduler.tell -> scheduler.take -> build_samples -> trainer.update -> advance

Where the run makes its tasks itself (self-play), a ``Supply`` is asked to before every step, and told its outcome.

A step ends with its ledger rows, its metrics line and, when due, a checkpoint, in this order; a run that is killed goes
on from its last checkpoint and forgets the rows and lines after it.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from rekindle.config import Config
from rekindle.learning.credit import Credit
from rekindle.learning.samples import build_samples
from rekindle.models.policy import Policy
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.ledger import Ledger
from rekindle.scheduling.scheduler import Scheduler
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.step_metrics import StepClock, Totals, step_metrics
from rekindle.training.supply import Supplied, Supply
from rekindle.training.trainer import Trainer, TrainerState
from rekindle.training.update_stats import UpdateStats
from rekindle.types import Environment, Fate, Group, GroupRequest, Rollout, TrainingSample, UserError

__all__ = ["Ending", "Observer", "Parts", "TrainingLoop"]

NOTHING = Supplied((), (), {}, {})
STARVING_STEPS = 8
STARVING_BELOW = 0.25


class Ending(Enum):
    """How a run ended; the values are the command's exit codes."""

    DONE = 0
    BOUND = 3
    INTERRUPTED = 130


class Observer(Protocol):
    """Who is shown the run."""

    def step(self, metrics: Mapping[str, object]) -> None:
        """A step ended."""
        ...

    def warn(self, text: str) -> None:
        """Something a person should know now."""
        ...


class MetricsLog(Protocol):
    """Where the lines of ``metrics.jsonl`` go."""

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one line."""
        ...


class RecordLog(Protocol):
    """Where the lines of ``proposals.jsonl`` go."""

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of a step."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of.

    Attributes:
        credit: From groups to training samples.
        levels: Difficulty of each prompt of the pool, where tasks have one.
        evaluate: Returns the ``eval/...`` metrics of the policy as it is.
        start: Metrics of the first line beside the evaluation: what was spent before the first step.
        extra_state: JSON values that are saved with every checkpoint.
        supply: Makes the tasks of every step, where they are not given.
        proposals: Where it is recorded what was made.
    """

    config: Config
    policy: Policy
    scheduler: Scheduler
    environment: Environment
    credit: Credit
    trainer: Trainer
    evaluate: Callable[[], dict[str, float]]
    checkpoints: Checkpoints
    ledger: Ledger
    metrics: MetricsLog
    observer: Observer
    levels: Sequence[int] = ()
    start: Mapping[str, float] = field(default_factory=dict)
    extra_state: Mapping[str, Any] = field(default_factory=dict)
    supply: Supply | None = None
    proposals: RecordLog | None = None


class TrainingLoop:
    """Runs to the configured end, to a declared bound, or until interrupted."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.step = 0
        self.version = 0
        self.bound = ""
        """Why the run stopped early, as a sentence."""
        self.totals = Totals()
        self._barren = 0
        self._recent: deque[int] = deque(maxlen=STARVING_STEPS)
        self._starving = False
        self._scheduling = 0.0
        """Seconds of the step that went into asking, telling, taking and computing advantages."""

    def restore(self, step: int, trainer: TrainerState, state: Mapping[str, Any]) -> None:
        """Go on after ``step`` of a checkpoint; the policy's weights are loaded already."""
        self.step, self.version = step, state["version"]
        self.totals = Totals(self.totals.sums | state["totals"])
        self._barren, self._starving = state["barren"], state["starving"]
        if self._barren >= self._parts.config.train.max_barren_steps:  # it ended so; what was down may be up again
            self._barren = 0
        self._recent.extend(state["recent"])
        if self._parts.supply is not None:  # first: the scheduler's state is about the tasks that were made
            self._parts.supply.load_state_dict(state["supply"])
        self._parts.scheduler.load_state_dict(state["scheduler"])
        self._parts.trainer.load_state_dict(trainer)

    def run(self, interrupted: Callable[[], bool] = lambda: False) -> Ending:
        """Train. ``interrupted`` is asked after every step; a checkpoint is written before the loop returns."""
        if self.step == 0:
            self._write_start()
        ending = self._ending()
        while ending is None:
            ending = self._do_step(interrupted)
        return ending

    # -- one step -----------------------------------------------------------------------------------------------------

    def _do_step(self, interrupted: Callable[[], bool]) -> Ending | None:
        clock, phases, counts = StepClock(), self._phases(), self._counts()
        self._scheduling = 0.0
        if self._parts.supply is not None:
            self._parts.supply.prepare(self.step + 1, self.version)
        target = self._parts.scheduler.groups_per_step  # now: taking the step may begin a phase of other sizes
        collected = self._collect()
        if collected is None:
            self.bound = self._parts.scheduler.stopped or "nothing is left to ask for"
            self._save()
            return Ending.BOUND
        groups, seconds = collected
        self.step += 1
        records = self._parts.scheduler.drain_records()
        supplied = NOTHING if self._parts.supply is None else self._parts.supply.conclude(self.step, records)
        samples, scale = self._credit(groups, target)
        samples += supplied.samples
        began = time.perf_counter()
        update = self._parts.trainer.update(samples, self.version, scale) if samples else None
        trained_seconds = time.perf_counter() - began
        self.version += update is not None
        with self._timed():
            self._parts.scheduler.advance(self.version, update.moved or 0.0 if update else 0.0)
        metrics = self._metrics(records, supplied, samples, update)
        metrics |= {key: total - counts[key] for key, total in self._counts().items()}
        self._watch(update, metrics["groups/trained"])
        ending = Ending.INTERRUPTED if interrupted() else self._ending(metrics)
        began = time.perf_counter()
        evaluation = self._evaluate() if self._evaluation_due(ending) else {}
        spent = {phase: total - phases[phase] for phase, total in self._phases().items()}
        spent |= {"train": trained_seconds, "evaluate": time.perf_counter() - began, "schedule": self._scheduling}
        self._parts.ledger.write(records, seconds, supplied.records, supplied.durations)
        if self._parts.proposals is not None:
            self._parts.proposals.extend(supplied.records)
        self._write(metrics | evaluation | clock.read(spent))
        if ending is not None or self.step % self._parts.config.checkpoint.every == 0:
            self._save()
        return ending

    def _phases(self) -> dict[str, float]:
        """Seconds so far by phase, of all who play."""
        seconds = Counter(self._parts.environment.seconds)
        if self._parts.supply is not None:
            seconds.update(self._parts.supply.seconds)
        return dict(seconds)

    def _counts(self) -> dict[str, int]:
        """What happened so far, of all who play."""
        supply = self._parts.supply
        return {**self._parts.environment.counts, **(supply.counts if supply is not None else {})}

    def _metrics(
        self,
        records: Sequence[GroupRecord],
        supplied: Supplied,
        samples: Sequence[TrainingSample],
        update: UpdateStats | None,
    ) -> dict[str, Any]:
        parts = self._parts
        levels = parts.levels if parts.supply is None else parts.supply.levels
        parameters, temperature = parts.policy.parameter_count, parts.config.train.temperature
        own = step_metrics(
            records, samples, update, parameters, temperature, levels, supplied.records, supplied.further_tokens
        )
        return own | dict(supplied.metrics)

    def _credit(self, groups: Sequence[Group], target: int) -> tuple[list[TrainingSample], float]:
        """The samples of a step that was to have ``target`` groups, and the factor of its size.

        A batch whose every advantage is zero still makes an optimizer step (momentum), but never one of size zero.
        """
        with self._timed():
            samples = build_samples(groups, self._parts.credit)
            taught = len({one.prompt_key for one in samples if one.entropy_scale or any(one.advantages)})
            return samples, min(1.0, taught / target) ** self._parts.config.train.batch_exponent or 1.0

    def _collect(self) -> tuple[list[Group], dict[int, float]] | None:
        """Ask, play and tell until a step is complete; None when the scheduler has nothing left."""
        scheduler, seconds = self._parts.scheduler, dict[int, float]()
        while True:
            with self._timed():
                groups = scheduler.take()
                requests = [] if groups is not None else list(iter(scheduler.ask, None))
                if groups is None and not requests:  # a pool that grows may have nothing for this step
                    groups = scheduler.take()
            if groups is not None:
                return groups, seconds
            if not requests:
                return None
            self._play(requests, seconds)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._scheduling += time.perf_counter() - began

    def _play(self, requests: Sequence[GroupRequest], seconds: dict[int, float]) -> None:
        """The rollout boundary: whatever goes wrong inside becomes the fate of the groups it concerns."""
        scheduler, began = self._parts.scheduler, time.perf_counter()
        open_ids = {request.id for request in requests}
        failure, void = "the environment did not return it", list[str]()
        try:
            for request_id, rollouts in self._parts.environment.play(requests):
                open_ids.discard(request_id)
                arrived = time.perf_counter()
                scheduler.tell(request_id, rollouts)
                if reason := _void(rollouts or ()):
                    void.append(reason)
                self._scheduling += time.perf_counter() - arrived
                seconds[request_id] = arrived - began
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary: a failure becomes a fate)
            failure = f"{type(error).__name__}: {error}"
        for failed, why in ((void, ", ".join(sorted(set(void)))), (open_ids, failure)):
            if failed:
                self._parts.observer.warn(f"{len(failed)} of {len(requests)} groups failed ({why})")
        for request_id in sorted(open_ids):
            scheduler.tell(request_id, None)
            seconds[request_id] = time.perf_counter() - began

    # -- bounds -------------------------------------------------------------------------------------------------------

    def _ending(self, new: Mapping[str, Any] | None = None) -> Ending | None:
        """Whether the run is over; ``new`` are the metrics of a step that is not in the totals yet."""
        train = self._parts.config.train
        if train.steps is not None and self.step >= train.steps:
            return Ending.DONE
        for key, budget in (("rollouts", train.rollouts), ("generated_tokens", train.tokens)):
            if budget is None or self.totals.sums[key] + (new[key] if new else 0) < budget:
                continue
            if train.steps is None:
                return Ending.DONE
            name = key.removeprefix("generated_")
            self.bound = f"train.{name} = {budget} were spent at step {self.step} of {train.steps}; raise it to go on"
            return Ending.BOUND
        if self._parts.scheduler.stopped is not None:
            self.bound = self._parts.scheduler.stopped
            return Ending.BOUND
        if self._barren >= train.max_barren_steps:
            self.bound = (
                f"{self._barren} steps in a row had nothing to train on (train.max_barren_steps); {_why_barren(new)}"
            )
            return Ending.BOUND
        return None

    def _watch(self, update: UpdateStats | None, trained: int) -> None:
        """Count barren steps, and say when a recycling pool starves."""
        self._barren = 0 if update is not None else self._barren + 1
        self._recent.append(trained)
        scheduler, pool = self._parts.scheduler, self._parts.scheduler.pool
        mean = sum(self._recent) / len(self._recent)
        starving = (
            pool.no_signal is Fate.RECYCLED
            and len(self._recent) == STARVING_STEPS
            and mean < STARVING_BELOW * scheduler.groups_per_step
        )
        if starving and not self._starving:
            self._parts.observer.warn(
                f"the pool is starving: the last {STARVING_STEPS} steps trained on {mean:.0f} of "
                f"{scheduler.groups_per_step} groups on average, and of {pool.live} live prompts (pool of "
                f"{len(pool.history)}) few still teach; add prompts (task.pool_size) or raise pool.reset_below"
            )
        self._starving = starving

    # -- records ------------------------------------------------------------------------------------------------------

    def _evaluation_due(self, ending: Ending | None) -> bool:
        if ending is Ending.INTERRUPTED:
            return self.step % self._parts.config.eval.every == 0
        return ending is not None or self.step % self._parts.config.eval.every == 0

    def _evaluate(self) -> dict[str, float]:
        evaluation = self._parts.evaluate()
        if failed := evaluation.get("eval/failed"):
            self._parts.observer.warn(
                f"{failed:.0f} held-out prompts could not be played and count as never solved: eval/accuracy is too low"
            )
        return evaluation

    def _write_start(self) -> None:
        clock = StepClock()
        began = time.perf_counter()
        evaluation = self._evaluate()
        phases = dict.fromkeys(("generate", "verify", "train", "schedule"), 0.0)
        phases["evaluate"] = time.perf_counter() - began
        self._write(step_metrics([], [], None, 0) | dict(self._parts.start) | evaluation | clock.read(phases))

    def _write(self, metrics: Mapping[str, Any]) -> None:
        pool = self._parts.scheduler.pool
        line = {
            "step": self.step,
            "version": self.version,
            **metrics,
            **self.totals.add(metrics),
            "pool/live": pool.live,
            "pool/size": len(pool.history),
            "pool/resets": pool.resets,
            "pool/starving": int(self._starving),
            **pool.metrics(),
        }
        self._parts.metrics.append(line)
        self._parts.observer.step(line)

    def _save(self) -> None:
        self._parts.ledger.check(int(self.totals.sums["rollouts"]))
        state = {
            "version": self.version,
            "totals": self.totals.sums,
            "barren": self._barren,
            "starving": self._starving,
            "recent": list(self._recent),
            "scheduler": self._parts.scheduler.state_dict(),
            **self._parts.extra_state,
        }
        if self._parts.supply is not None:
            state["supply"] = self._parts.supply.state_dict()
        self._parts.checkpoints.save(self.step, self._parts.policy, self._parts.trainer.state_dict(), state)


def _void(rollouts: Sequence[Rollout]) -> str:
    """Why a group says nothing about the policy; empty where it does."""
    return ", ".join(sorted({one.failure or "void" for one in rollouts if one.void}))


def _why_barren(last: Mapping[str, Any] | None) -> str:
    """What may be wrong, and what to do about it, by the metrics of the last step."""
    if last and 2 * last["groups/failed"] >= last["groups/asked"] > 0:
        return (
            f"{last['groups/failed']} of the last {last['groups/asked']} groups failed because what they search or who "
            "judges them did: see the warnings, mend it, and go on with --resume"
        )
    if last and last.get("self_play/valid") == 0:
        return (
            f"no proposed question was valid (in the last step: {_rejections(last)}); look at proposals.jsonl, loosen "
            'what rejects them, or set self_play.fill = "replay"'
        )
    return (
        "the prompts are too hard or too easy for this policy, or their verifier fails: look at the report, change the "
        "prompts, or raise train.group_size"
    )


def _rejections(last: Mapping[str, Any]) -> str:
    """Reasons for which proposals were rejected, the most frequent first."""
    prefix = "self_play/rejected/"
    found = {key.removeprefix(prefix): count for key, count in last.items() if key.startswith(prefix) and count}
    ordered = sorted(found.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in ordered) or "none came back"
