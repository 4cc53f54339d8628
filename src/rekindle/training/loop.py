"""The training loop: collect rollouts by ask and tell, update the policy, write the files of the run.

    supply.prepare -> scheduler.ask -> environment.play -> scheduler.tell -> scheduler.take -> supply.conclude
      -> build_samples -> trainer.update -> engine.sync -> scheduler.advance

A step ends with its ledger rows, its metrics line and, when due, a checkpoint, in this order. A killed run resumes from
its last checkpoint and deletes later rows and lines.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rekindle.config import Config
from rekindle.engines.engine import Engine, Metered
from rekindle.learning.credit import Credit
from rekindle.learning.samples import build_samples
from rekindle.models.loading import first_not_finite
from rekindle.records.activity import Activity, Part
from rekindle.records.clock import StepClock
from rekindle.records.endings import Ending, stop_after
from rekindle.records.health import HealthWatch, starving
from rekindle.records.rollout_samples import SampleRecorder
from rekindle.records.run_files import RunFiles
from rekindle.records.step_metrics import Totals, pool_metrics, step_metrics
from rekindle.records.supply import GivenTasks, Supply
from rekindle.records.tally import RewardTally
from rekindle.records.update_stats import UpdateStats
from rekindle.scheduling.scheduler import Scheduler
from rekindle.scheduling.starvation import StarvationWatch
from rekindle.training.callbacks import Callbacks
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.collection import RolloutCollector
from rekindle.training.schedules import size_factor
from rekindle.training.trainer import Trainer, TrainerState
from rekindle.types import Environment, GroupRequest, Rollout, TrainingSample

__all__ = ["LiveObserver", "Observer", "Parts", "TrainingLoop"]


class Observer(Protocol):
    """Observer protocol: receives metrics and warnings of a run."""

    def step(self, metrics: Mapping[str, object]) -> None:
        """Receive the metrics of a finished step."""
        ...

    def warn(self, text: str) -> None:
        """Receive a warning for the user."""
        ...


@runtime_checkable
class LiveObserver(Observer, Protocol):
    """Observer that also follows a step while it is made, and receives what the policy wrote."""

    def follow(self, activity: Activity) -> None:
        """Receive the activity of the run, before its first step; it may be read at any time, from any thread."""
        ...

    def samples(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Receive a step's lines of ``samples.jsonl``, before the metrics of the step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a run.

    Attributes:
        config: The run's settings.
        scheduler: Selects prompts and groups.
        supply: Source of the tasks.
        environment: Plays the tasks.
        engine: Samples from the policy for the environment, the supply and the evaluation.
        credit: Turns groups into training samples.
        trainer: Holds and updates the policy.
        evaluate: Returns the ``eval/...`` metrics of the current policy.
        evaluated: Rollouts of an evaluation; 0: unknown.
        recorder: Chooses the samples of what the policy wrote.
        health: Watches over what goes wrong; None: one without held-out prompts and answers.
        files: Files that grow with every step.
        checkpoints: States to resume from.
        observer: Receives metrics and warnings; a ``LiveObserver`` receives more.
        callbacks: Called after every step, evaluation and checkpoint.
        start: Costs before the first step, for the first metrics line.
    """

    config: Config
    scheduler: Scheduler
    supply: Supply = field(default_factory=GivenTasks)
    environment: Environment
    engine: Engine
    credit: Credit
    trainer: Trainer
    evaluate: Callable[[], dict[str, float]]
    evaluated: int = 0
    recorder: SampleRecorder = field(default_factory=SampleRecorder)
    health: HealthWatch | None = None
    files: RunFiles
    checkpoints: Checkpoints
    observer: Observer
    callbacks: Callbacks = field(default_factory=Callbacks)
    start: Mapping[str, float] = field(default_factory=dict)


class TrainingLoop:
    """Loop that runs to the configured end, to a declared bound, or until interrupted.

    Args:
        parts: The parts of the run.

    Attributes:
        parts: The parts of the run.
        step: Number of the last step.
        version: Policy version, the number of updates.
        bound: Reason why the run stopped early, as a sentence.
        totals: Running sums.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.step = self.version = 0
        self.bound = ""
        self.totals = Totals()
        self._restored = False
        self._dead = ""
        """Why there can be no reward, of a step after which the run ended."""
        self._saved_bound = ""
        self._without_signal = 0
        self._starvation = StarvationWatch()
        self._health = parts.health or HealthWatch(parts.config)
        self._tally = RewardTally(parts.config.task.success_threshold)
        self._live = parts.observer if isinstance(parts.observer, LiveObserver) else None
        self._activity = Activity(_counts_of(parts.engine))
        self._collector = RolloutCollector(
            parts.scheduler, parts.environment, parts.observer.warn, self._note, self._activity
        )

    def restore(self, step: int, trainer: TrainerState, state: Mapping[str, Any], *, told: bool = False) -> None:
        """Continue after ``step`` of a checkpoint; the policy's weights must be loaded already.

        A run that had ended ends again, unless its bound is another one now. One that ended because there could be no
        reward ends again unless that was told, because a bound that could be raised there is not.

        Args:
            step: Step of the checkpoint.
            trainer: State of the trainer.
            state: State of everything else.
            told: Whether the run told how it ended; otherwise it was killed before.
        """
        self._restored = True
        self.step, self.version = step, state["version"]
        self.totals = Totals(self.totals.sums | state["totals"])
        self._without_signal = state["without_signal"]
        self._starvation.load_state_dict(state["starvation"])
        self._dead = "" if told else state.get("dead", "")
        self._saved_bound = state.get("bound", "")
        if "health" in state:
            self._health.load_state_dict(state["health"])
        self.parts.supply.load_state_dict(state["supply"])  # first, because the scheduler's state refers to its tasks
        self.parts.scheduler.load_state_dict(state["scheduler"])
        self._collector.load_state_dict(state.get("collector", {}))
        self.parts.trainer.load_state_dict(trainer, self.totals.spent)

    def run(self, interrupted: Callable[[], bool] = lambda: False) -> Ending:
        """Train until the run ends; a checkpoint is written before the return.

        Args:
            interrupted: Called after the first evaluation and after every step, its evaluation and its checkpoint
                included; True ends the run.
        """
        dead = self.begin() or self._dead
        ending = self._interruption(interrupted, saved=self._restored) or self._ending(dead=dead)
        if ending is Ending.BOUND and self._saved_bound.startswith(self.bound.partition(";")[0]):
            self.bound = self._saved_bound  # it knows the cause
        while ending is None:
            ending = self.do_step(interrupted)
        return ending

    def begin(self) -> str | None:
        """Sync the engine; in a new run, evaluate and write the metrics line of step 0.

        Returns:
            Why the run cannot begin, because no rollout of the evaluation has a verdict; None: it can.
        """
        self._sync()
        if self._live is not None:
            self._live.follow(self._activity)
        evaluation: dict[str, float] = {}
        if not self._restored:
            self._warn(self._health.begin())
            clock = StepClock(lambda: dict.fromkeys(("generate", "verify"), 0.0))
            evaluation = self._evaluate(clock)
            written = self.parts.recorder.drain(self.step, self.version)
            self.parts.files.write_samples(written)
            self._warn(self._health.step(evaluation))
            self._write(step_metrics([], [], None) | dict(self.parts.start) | evaluation | clock.read(), written)
        return self._health.dead(evaluation)

    # -- one step -----------------------------------------------------------------------------------------------------

    def do_step(self, interrupted: Callable[[], bool] = lambda: False) -> Ending | None:
        """Make one step, after ``begin``; return the ending of the run, None while it continues."""
        parts, clock, counts = self.parts, StepClock(self._seconds), self._counts()
        self._activity.begin(Part.PREPARING)
        parts.supply.prepare(self.step + 1, self.version)
        target = parts.scheduler.groups_per_step  # read now, because take may begin a phase of another group size
        collected = self._collector.collect(self.step + 1, clock, ahead=self._samples_ahead())
        if collected is None:
            self.bound = parts.scheduler.stopped or "the scheduler has no further requests"
            self._save()
            return Ending.BOUND
        self.step += 1
        records = parts.scheduler.drain_records()
        supplied = parts.supply.conclude(self.step, records)
        with clock.timed("schedule"):
            samples = build_samples(collected.groups, parts.credit)
            scale = size_factor(samples, target, parts.config.optimizer.batch_exponent)
        self._activity.begin(Part.TRAINING)
        with clock.timed("train"):
            update = _updated(parts, self.version, samples, supplied.samples, scale, self.totals.spent)
        samples += supplied.samples
        self._go_live(update, clock)
        metrics = step_metrics(
            records,
            samples,
            update,
            version=self.version - (update is not None),
            parameters=parts.trainer.policy.parameter_count,
            base_temperature=parts.config.train.temperature,
            levels=parts.supply.levels,
            supplied=supplied,
        )
        metrics |= {key: total - counts[key] for key, total in self._counts().items()} | self._tally.drain()
        self._watch(metrics["groups/trained"])
        # A run that this step completes is complete, interrupted or not: its last evaluation would never be made.
        ending = self._ending(metrics) or (Ending.INTERRUPTED if interrupted() else None)
        evaluation = self._evaluate(clock) if self._evaluation_due(ending) else {}
        parts.files.write_groups(records, collected.seconds, supplied)
        records += supplied.records
        written = parts.recorder.drain(self.step, self.version, records, supplied.rollouts)
        parts.files.write_samples(written)
        self._warn(self._health.step(metrics | evaluation))
        self._write(metrics | evaluation | clock.read(), written)
        saved = ending is not None or self.step % parts.config.checkpoint.every == 0
        if saved:
            self._save()
        return ending or self._interruption(interrupted, saved=saved)

    def _samples_ahead(self) -> bool:
        """Whether the step that would be sampled ahead of the next one's update is a step of the run."""
        train = self.parts.config.train
        return train.steps is None or self.step + 1 + train.max_off_policy_steps <= train.steps

    def _go_live(self, update: UpdateStats | None, clock: StepClock) -> None:
        """Sync the engine after an update, and advance the scheduler in any case."""
        self._without_signal = 0 if update is not None else self._without_signal + 1
        if update is not None:
            self.version += 1
            self._sync()
        with clock.timed("schedule"):
            self.parts.scheduler.advance(self.version, update.moved or 0.0 if update else 0.0)

    def _sync(self) -> None:
        self.parts.engine.sync(self.parts.trainer.policy, self.version)

    def _seconds(self) -> Mapping[str, float]:
        """Seconds since the start by phase, of environment and supply."""
        seconds = Counter(self.parts.environment.seconds)
        seconds.update(self.parts.supply.seconds)
        return seconds

    def _counts(self) -> dict[str, int]:
        """Counts since the start, of environment and supply."""
        return {**self.parts.environment.counts, **self.parts.supply.counts}

    def _ending(self, new: Mapping[str, Any] | None = None, dead: str | None = None) -> Ending | None:
        """Ending of the run, None while it continues.

        Args:
            new: Metrics of a step that is not yet in the totals.
            dead: Why there can be no reward.
        """
        if why := dead or self._health.dead(new or {}):
            self.bound = self._dead = why
            return Ending.BOUND
        stop = stop_after(
            self.step,
            train=self.parts.config.train,
            spent=self.totals.with_step(new or {}),
            stopped=self.parts.scheduler.stopped,
            without_signal=self._without_signal,
            skipped=(self.parts.trainer.skipped, self.parts.config.optimizer.max_skipped_steps),
            last=new,
        )
        if stop is None:
            return None
        self.bound = stop.why
        return stop.ending

    def _interruption(self, interrupted: Callable[[], bool], *, saved: bool) -> Ending | None:
        """The ending of a run that was interrupted since its last step, or in the evaluation or checkpoint after it."""
        if not interrupted():
            return None
        if not saved:
            self._save()
        return Ending.INTERRUPTED

    def _note(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        """Show a request's rollouts to what keeps samples and what watches over the run."""
        self.parts.recorder.note(request, rollouts)
        self._health.note(request, rollouts)
        self._tally.note(rollouts)

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.parts.observer.warn(text)

    def _watch(self, trained: int) -> None:
        """Warn when the pool begins to starve."""
        pool, wanted = self.parts.scheduler.pool, self.parts.scheduler.groups_per_step
        if self._starvation.note(pool, trained, wanted):
            self.parts.observer.warn(starving(self._starvation.mean, wanted, pool))

    # -- evaluation and files -----------------------------------------------------------------------------------------

    def _evaluation_due(self, ending: Ending | None) -> bool:
        regular = self.step % self.parts.config.eval.every == 0
        return regular or ending in (Ending.DONE, Ending.BOUND)

    def _evaluate(self, clock: StepClock) -> dict[str, float]:
        self._activity.begin(Part.EVALUATING, self.parts.evaluated)
        with clock.timed("evaluate"):
            evaluation = self.parts.evaluate()
        if failed := evaluation.get("eval/failed"):
            self.parts.observer.warn(
                f"{failed:.0f} held-out prompts could not be played and count as never solved: eval/accuracy is too low"
            )
        return evaluation

    def _write(self, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        line = {
            "step": self.step,
            "version": self.version,
            **metrics,
            **self.totals.add(metrics),
            **pool_metrics(self.parts.scheduler.pool, starving=self._starvation.starving),
        }
        self.parts.files.end_step(line)
        if self._live is not None:
            self._live.samples(samples)
        self.parts.observer.step(line)
        self.parts.callbacks.step(line, samples)

    def _save(self) -> None:
        self._activity.begin(Part.SAVING)
        policy = self.parts.trainer.policy
        if (broken := first_not_finite(policy.model)) is not None:
            self.parts.observer.warn(
                f"the weights {broken} are not finite, so step {self.step} has no checkpoint; the last one is good"
            )
            return
        self.parts.files.ledger.check(int(self.totals.sums["rollouts"]))
        state = {
            "version": self.version,
            "totals": self.totals.sums,
            "without_signal": self._without_signal,
            "bound": self.bound,
            "dead": self._dead,
            "starvation": self._starvation.state_dict(),
            "health": self._health.state_dict(),
            "supply": self.parts.supply.state_dict(),
            "scheduler": self.parts.scheduler.state_dict(),
            "collector": self._collector.state_dict(),
            "kernels": policy.kernels.describe(),
        }
        checkpoints = self.parts.checkpoints
        checkpoints.save(self.step, policy, self.parts.trainer.state_dict(), state)
        self.parts.callbacks.checkpoint(checkpoints.path(self.step))


def _counts_of(engine: Engine) -> Callable[[], tuple[int, int]] | None:
    """Reads the running counts of an engine that has some."""
    if not isinstance(engine, Metered):
        return None
    meter = engine.meter
    return lambda: (meter.rollouts, meter.tokens)


def _updated(
    parts: Parts,
    version: int,
    samples: list[TrainingSample],
    of_proposer: Sequence[TrainingSample],
    scale: float,
    spent: Mapping[str, float],
) -> UpdateStats | None:
    """Train on the samples of a step, both roles together or the proposer first; None where there are none.

    With two updates the ratio of the second is to the policy after the first, as the rules of the configuration see
    to. The step still makes one new version.
    """
    trainer = parts.trainer
    if samples and of_proposer and parts.config.self_play.updates == "proposer_first":
        first = trainer.update(of_proposer, version, spent=spent)
        return first.followed_by(trainer.update(samples, version, scale, spent))
    together = [*samples, *of_proposer]
    return trainer.update(together, version, scale, spent) if together else None
