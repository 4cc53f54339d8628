"""Run files of a run whose training loop is another library's: its directory, step metrics, samples and warnings.

The other trainer's step has two halves, with its own code between them:

    collected(...)   groups are chosen and rollouts are known
    finished(...)    the update on them is done
    write()          the line of the step, once an evaluation after it could add to it

Every process of a distributed run has a ``RecordedRun`` and counts the same; only the main one has files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rekindle.config import Config
from rekindle.notices import Say, warn
from rekindle.observability.progress import sentence
from rekindle.records.health import HealthWatch, starving
from rekindle.records.rollout_samples import SampleRecorder
from rekindle.records.run_files import RunFiles
from rekindle.records.step_metrics import Totals, pool_metrics, step_metrics, update_metrics
from rekindle.records.supply import Supplied
from rekindle.records.tally import RewardTally
from rekindle.records.update_stats import UpdateStats
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.pools import Pool
from rekindle.scheduling.serialization import record_from_json, record_to_json
from rekindle.scheduling.starvation import StarvationWatch
from rekindle.types import GroupRequest, Rollout, TrainingSample

__all__ = ["RecordedRun"]


@dataclass(slots=True)
class _Step:
    """A step from its rollouts to its line in ``metrics.jsonl``."""

    records: Sequence[GroupRecord]
    seconds: Mapping[int, float]
    samples: Sequence[Mapping[str, Any]]
    metrics: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    supplied: Supplied = field(default_factory=Supplied)

    def to_json(self) -> dict[str, Any]:
        return {
            "records": [record_to_json(one) for one in self.records],
            "seconds": [[request_id, spent] for request_id, spent in self.seconds.items()],
            "samples": list(self.samples),
            "metrics": self.metrics,
            "done": self.done,
            "supplied": {
                "records": [record_to_json(one) for one in self.supplied.records],
                "durations": [[request_id, spent] for request_id, spent in self.supplied.durations.items()],
                "lines": list(self.supplied.lines),
                "further_tokens": list(self.supplied.further_tokens),
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "_Step":
        records = [record_from_json(one) for one in value["records"]]
        of_supply = value["supplied"]
        read, sampled = of_supply["further_tokens"]
        supplied = Supplied(
            records=[record_from_json(one) for one in of_supply["records"]],
            durations=dict(of_supply["durations"]),
            lines=of_supply["lines"],
            further_tokens=(read, sampled),
        )
        return cls(records, dict(value["seconds"]), value["samples"], value["metrics"], value["done"], supplied)


class RecordedRun:
    """The account of a run: every group's fate, the metrics of every step, and samples of what the policy wrote.

    Args:
        config: The run's settings.
        parameters: Number of parameters, for FLOPs.
        decode: Token ids -> text, for samples.
        answer: Task id -> its reference answer, for samples.
        said: A message -> the same in the words of the other trainer.
        say: Shows a line to the user.
        main: Whether this process warns and says anything.

    Attributes:
        step: Number of the last step.
        version: Policy version, the number of updates.
        without_signal: Steps in a row without anything to train on.
        skipped: Optimizer steps that were skipped, in the last updates in a row that each had some.
        line: Last line of ``metrics.jsonl``; empty before the first.
    """

    def __init__(
        self,
        config: Config,
        *,
        parameters: int,
        decode: Callable[[Sequence[int]], str],
        answer: Callable[[str], object] = lambda task_id: None,
        said: Callable[[str], str] = str,
        say: Say = lambda text: None,
        main: bool = True,
    ) -> None:
        self.step = self.version = self.without_signal = self.skipped = 0
        self.line: Mapping[str, Any] = {}
        self._config, self._parameters = config, parameters
        self._said, self._say, self._main = said, say, main
        self._told = 0
        self._totals, self._starvation = Totals(), StarvationWatch()
        self._health, self._tally = HealthWatch(config), RewardTally(config.task.success_threshold)
        self._recorder = SampleRecorder(config.samples.per_step, decode, answer)
        self._files: RunFiles | None = None
        self._open: _Step | None = None
        self._pool_metrics: dict[str, Any] = {}

    @contextmanager
    def writing(self, files: RunFiles | None) -> Iterator[None]:
        """While it is open, steps are written to these files; None: this process writes none."""
        self._files = files
        try:
            yield
        finally:
            self.write()

    # -- a step -------------------------------------------------------------------------------------------------------

    def note(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        """Consider a request's rollouts for samples, warnings and means of rewards."""
        self._recorder.note(request, rollouts)
        self._health.note(request, rollouts)
        self._tally.note(rollouts)

    def collected(
        self,
        records: Sequence[GroupRecord],
        samples: Sequence[TrainingSample],
        seconds: Mapping[int, float],
        pool: Pool,
        wanted: int,
        *,
        supplied: Supplied | None = None,
        levels: Sequence[int] = (),
        counts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Begin a step with its group records.

        Args:
            records: Records of the step's groups.
            samples: The batch; empty where nothing can be trained on.
            seconds: Seconds from ask to tell, by request id.
            pool: The pool, for its metrics.
            wanted: Groups of a full batch.
            supplied: Result of the supply; None: tasks are given.
            levels: Difficulty of the prompt in each row of the pool, where tasks have one.
            counts: Events counted in the step, by their key in the metrics.
        """
        supplied = supplied or Supplied()
        self.write()
        self.step += 1
        self.without_signal = 0 if samples else self.without_signal + 1
        metrics = step_metrics(
            records,
            samples,
            None,
            version=self.version,
            parameters=self._parameters,
            base_temperature=self._config.train.temperature,
            levels=levels,
            supplied=supplied,
        )
        metrics |= {**counts, **self._tally.drain()}
        every = [*records, *supplied.records]
        lines = self._recorder.drain(self.step, self.version, every, supplied.rollouts)
        self._open = _Step(records, seconds, lines, metrics, supplied=supplied)
        if self._starvation.note(pool, metrics["groups/trained"], wanted):
            self.warn(starving(self._starvation.mean, wanted, pool))

    def finished(self, update: UpdateStats | None, pool: Pool, **further: Any) -> None:
        """Add the numbers of the step's update; ``write`` writes its line."""
        step = self._open
        assert step is not None, "a step is finished after it was collected"
        every = [*step.records, *step.supplied.records]
        step.metrics |= update_metrics(every, update, self._parameters, step.supplied.further_tokens) | further
        step.done = True
        self.version += update is not None
        if update is not None:
            self.skipped = self.skipped + update.skipped_steps if update.skipped_steps else 0
        self._pool_metrics = pool_metrics(pool, starving=self._starvation.starving)
        for text in self._health.step(step.metrics):
            self.warn(text)

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add metrics that became known after the step was finished, such as those of an evaluation.

        Before the first step they are the line of step 0.
        """
        if self._open is not None and self._open.done:
            self._open.metrics |= metrics
        elif self.step == 0 and self._open is None and not self.line and metrics:
            start = step_metrics([], [], None) | {"seconds": 0.0, "cpu_seconds": 0.0, **metrics}
            self.line = {"step": 0, "version": 0, **start} | self._totals.add(start)
            if self._files is not None:
                self._files.end_step(self.line)

    @property
    def is_open(self) -> bool:
        """Whether a step was collected and is not finished."""
        return self._open is not None and not self._open.done

    @property
    def silent_share(self) -> float:
        """Share of the groups without signal in the step that is being made; 0.0 without groups."""
        found = self._open.metrics if self._open is not None else {}
        silent = found.get("groups/all_correct", 0) + found.get("groups/all_wrong", 0)
        return float(silent / max(1, silent + found.get("groups/mixed", 0)))

    @property
    def latest(self) -> Mapping[str, Any]:
        """Metrics of the last finished step; empty before the first."""
        if self._open is not None and self._open.done:
            return {"step": self.step, **self._open.metrics, **self._pool_metrics}
        return self.line

    def write(self) -> None:
        """Write the last finished step: its groups, samples and line."""
        step = self._open
        if step is None or not step.done:
            return
        self._open = None
        line = {"step": self.step, "version": self.version, **step.metrics}
        self.line = line | self._totals.add(step.metrics) | self._pool_metrics
        if self._files is not None:
            self._files.write_groups(step.records, step.seconds, step.supplied)
            self._files.write_samples(step.samples)
            self._files.end_step(self.line)

    def tell(self) -> None:
        """Say the last finished step in a sentence, unless it was said; from the main process."""
        if self._main and self.latest and self.latest["step"] > self._told:
            self._told = self.latest["step"]
            self._say(sentence(self.latest))

    def warn(self, text: str) -> None:
        """Warn in the words of the other trainer; once, from the main process."""
        if self._main:
            warn(self._said(text))

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values; a step that was not written is part of it."""
        return {
            "step": self.step,
            "version": self.version,
            "without_signal": self.without_signal,
            "skipped": self.skipped,
            "totals": self._totals.sums,
            "starvation": self._starvation.state_dict(),
            "health": self._health.state_dict(),
            "open": None if self._open is None else self._open.to_json(),
            "pool": self._pool_metrics,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore, and remove from the files what came after the checkpoint."""
        self.step, self.version, self.without_signal = state["step"], state["version"], state["without_signal"]
        self.skipped = state.get("skipped", 0)
        self._totals = Totals(self._totals.sums | state["totals"])
        self._starvation.load_state_dict(state["starvation"])
        self._health.load_state_dict(state["health"])
        self._open = None if state["open"] is None else _Step.from_json(state["open"])
        self._pool_metrics = dict(state["pool"])
        if self._files is not None:
            last = self.step - (self._open is not None)
            self._files.ledger.check_pages()
            self._files.truncate_after(last)
            self._files.ledger.check(int(self._totals.sums["rollouts"]), "it is not the ledger of this checkpoint")
            self._files.warnings.end_step(last)
