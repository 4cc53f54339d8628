"""A training run from its settings to its report: checks, progress, loop, ending.

Checks come in this order, the cheapest first: run directory, model files, task files. Only then torch is imported.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.config import Config
from rekindle.heap import frozen_heap
from rekindle.interrupts import Interrupts
from rekindle.notices import Say

if TYPE_CHECKING:
    from rekindle.given import Given
    from rekindle.models.reading import ReadModel
    from rekindle.observability.progress import Progress
    from rekindle.preflight import PolicyFiles
    from rekindle.records.activity import Activity
    from rekindle.records.endings import Ending
    from rekindle.tasks.task_set import TaskSet
    from rekindle.training.callbacks import Callbacks
    from rekindle.training.loop import TrainingLoop

__all__ = ["Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """A run to be made.

    Attributes:
        config: The complete configuration.
        directory: Run directory.
        given: Parts that a script made itself.
        callbacks: Called after every step, evaluation and checkpoint.
        resume: Whether to go on from the last checkpoint.
        say: Shows a line to the user.
        read_policy: Reads the directory of the start model; None: every time anew.
    """

    config: Config
    directory: Path
    given: "Given"
    callbacks: "Callbacks"
    resume: bool
    say: Say
    read_policy: "ReadModel | None" = None

    def run(self) -> "Ending":
        """Train to the end, write the report, and note how the run ended."""
        with Interrupts(self.say) as interrupts:
            tasks, policy = self.look()
            self.say(policy.loading)
            with self._opened(tasks, policy, interrupts) as loop:
                ending = loop.run(lambda: interrupts.asked)
        self._conclude(ending, loop.bound)
        return ending

    def look(self) -> "tuple[TaskSet, PolicyFiles]":
        """The tasks of the run and its policy, after checks of their files."""
        from rekindle.observability.trackers import check_trackers
        from rekindle.preflight import checked_parts
        from rekindle.records.checkpoint_choice import newest_whole
        from rekindle.records.run_directory import check, model_commit, tasks_commit

        config = self.config
        check(config, self.directory, resume=self.resume)
        check_trackers(config)
        checkpoint = newest_whole(self.directory)
        return checked_parts(
            config,
            self.given,
            self.say,
            saved=checkpoint and checkpoint / "model",
            model_commit=model_commit(self.directory),
            tasks_commit=tasks_commit(self.directory),
        )

    @contextmanager
    def _opened(self, tasks: "TaskSet", policy: "PolicyFiles", interrupts: Interrupts) -> "Iterator[TrainingLoop]":
        """Training loop of the run, with a progress display."""
        with frozen_heap(_import_libraries), self._loop(tasks, policy, interrupts) as loop:
            yield loop

    @contextmanager
    def _loop(self, tasks: "TaskSet", policy: "PolicyFiles", interrupts: Interrupts) -> "Iterator[TrainingLoop]":
        from rekindle.assembly import open_run
        from rekindle.models.reading import read_model
        from rekindle.observability.progress import Progress
        from rekindle.warm_starts.stage import start_model

        interrupts.check()
        config = self.config
        progress = Progress(config.train.steps, config.train.rollouts, success_at=config.task.success_threshold)
        with (
            open_run(
                config,
                self.directory,
                start=lambda: start_model(config, self.say, tasks, policy.source),
                resume=self.resume,
                observer=lambda step, _: _RunDisplay(progress, interrupts, begun=step > 0),
                say=lambda text: None if progress.is_live else self.say(text),  # a live display says it itself
                interrupted=lambda: interrupts.asked,
                tasks=tasks,
                given=self.given,
                callbacks=self.callbacks,
                commit=policy.commit,
                read_policy=self.read_policy or read_model,
            ) as loop,
            progress,
        ):
            yield loop

    def _conclude(self, ending: "Ending", bound: str) -> None:
        from rekindle.observability.report import write_report
        from rekindle.planning import write_null_control
        from rekindle.records.run_directory import note_ending

        note_ending(self.directory, ending.name.lower(), bound)
        self.say("writing the report ...")
        write_null_control(self.config, self.directory)
        write_report(self.directory)


def _import_libraries() -> None:
    """Import torch, transformers, and what of ours is built on them."""
    import rekindle.assembly
    import rekindle.warm_starts.stage  # noqa: F401


class _RunDisplay:
    """Progress display that also begins the interruptible steps: after the first evaluation, or with a resume."""

    def __init__(self, progress: "Progress", interrupts: Interrupts, *, begun: bool) -> None:
        self._progress, self._interrupts = progress, interrupts
        if begun:
            interrupts.begin()

    def step(self, metrics: Mapping[str, object]) -> None:
        self._interrupts.begin()
        evaluation = metrics.get("time/evaluate")
        self._interrupts.pace.mark(evaluation if isinstance(evaluation, float) else 0.0)
        self._progress.step(metrics)

    def warn(self, text: str) -> None:
        self._progress.warn(text)

    def follow(self, activity: "Activity") -> None:
        self._progress.follow(activity)

    def samples(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._progress.samples(lines)
