"""A run inside TRL: tasks, scheduler, account and state, the same on every process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from rekindle.config import Config
from rekindle.integrations.recorded_run import RecordedRun
from rekindle.integrations.run_folder import RunFolder
from rekindle.integrations.silent_groups import counts_silent
from rekindle.integrations.steps import Steps
from rekindle.integrations.trl.profiling import ProfilePass, given_profile
from rekindle.integrations.trl.sampling.rollouts import TrlRollouts
from rekindle.integrations.trl.state import leave_later, load_state
from rekindle.integrations.trl.updates.probe import Probe
from rekindle.integrations.trl.words import said
from rekindle.methods import build_credit, build_scheduler, needs_profile
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import Task, UserError

__all__ = ["FOLDER", "TrlRun"]

FOLDER = "rekindle"
"""Folder of the run files in ``output_dir``."""


class TrlRun:
    """The run of a trainer, from ``opened`` on.

    Args:
        config: The run's settings.
        tasks: The dataset's rows as tasks, in its order.
        rollouts: Makes the rollouts.
        output_dir: TRL's; the main process writes the run files into a folder of it.
        main: Whether this process writes files.
        parameters: Number of parameters, for FLOPs.
        decode: Token ids -> text, for samples.

    Attributes:
        config: The run's settings.
        record: Account of the run.
        rollouts: Makes the rollouts.
        steps: Steps of the scheduler; there are none before ``opened``.
        probe: Rollouts of the update that is being made.
        parameters: Number of parameters.
        places: Row of the dataset by the task's row in the scheduler.
    """

    def __init__(
        self,
        config: Config,
        tasks: Sequence[Task],
        rollouts: TrlRollouts,
        *,
        output_dir: Path,
        main: bool,
        parameters: int,
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self.config, self.rollouts, self.probe = config, rollouts, Probe()
        self.places: Sequence[int] = range(len(tasks))
        self._tasks, self.parameters = list(tasks), parameters
        self._directory = output_dir / FOLDER if main else None
        answers = {task.id: task.answer for task in tasks if task.answer}
        self._new_record = partial(
            RecordedRun,
            config,
            parameters=parameters,
            decode=decode,
            answer=answers.get,
            said=said,
            say=tqdm.write,
            main=main,
        )
        self._folder = RunFolder(config, self._directory, said=said, say=tqdm.write)
        self.record = self._new_record()
        self._steps: Steps | None = None
        self._scheduler: Scheduler | None = None

    @property
    def steps(self) -> Steps:
        """The steps of the run.

        Raises:
            UserError: The run is not open.
        """
        if self._steps is None:
            raise UserError("RekindleTrainer trains in train(), which opens the run's files; call trainer.train()")
        return self._steps

    @contextmanager
    def opened(self, checkpoint: Path | None, *, resumable: bool, **facts: Any) -> Iterator[dict[str, Any] | None]:
        """The run with its files and its scheduler; yields the trainer's part of the state, None in a new run.

        Args:
            checkpoint: Checkpoint to go on from; None: the run begins.
            resumable: There is a checkpoint of an earlier run.
            facts: Further facts for ``run.json``.

        Raises:
            UserError: The run files are those of another run, or the checkpoint is not one of ours.
        """
        state = None if checkpoint is None else load_state(checkpoint)
        self.record, self.probe = self._new_record(), Probe()  # a script may call train() more than once
        resume = state is not None
        self._folder.check(resume=resume, resumable=resumable)
        self._order(self._folder.ordered(self._tasks, resume=resume))
        with self._folder.opened(self._tasks, resume=resume, **facts) as files, self.record.writing(files):
            self._scheduler = scheduler = build_scheduler(
                self.config, (task.id for task in self._tasks), self._profile(facts.get("model", ""))
            )
            self._steps = Steps(
                self.config,
                scheduler,
                build_credit(self.config),
                self.rollouts,
                self.record,
                counts_silent=counts_silent(self.config),
            )
            if state is not None and self._directory is not None:
                leave_later(self._directory.parent, state["trainer"]["global_step"])
            try:
                yield None if state is None else self._restored(state)
                self._folder.note_ending("bound" if self.steps.over else "done", self.steps.over)
            except KeyboardInterrupt:
                self._folder.note_ending("interrupted", "")
                raise
            finally:
                self._steps = self._scheduler = None

    def _order(self, ids: list[str]) -> None:
        """Take over the order of the tasks in which the main process has the run."""
        shared: list[Any] = [ids]
        broadcast_object_list(shared, from_process=0)
        place = {task.id: number for number, task in enumerate(self._tasks)}
        self.places = [place[name] for name in shared[0]]
        self._tasks = [self._tasks[number] for number in self.places]

    def _profile(self, model: str) -> Profile | None:
        if not needs_profile(self.config):
            return given_profile(self.config, self._tasks)
        made = ProfilePass(self.config, self.rollouts, model=model, parameters=self.parameters)
        return made.make(self._tasks, self._directory)

    def finish(self, update: Any, **further: Any) -> None:
        """End the step with the numbers of its update."""
        self.steps.finish(update, **further)
        self.probe = Probe()

    def state_dict(self, trainer: dict[str, Any]) -> dict[str, Any]:
        """State of the run for a checkpoint, with the trainer's own part."""
        assert self._scheduler is not None, "checkpoints are written while the run is open"
        return {
            "trainer": trainer,
            "record": self.record.state_dict(),
            "probe": self.probe.to_json(),
            "scheduler": self._scheduler.state_dict(),
        }

    def _restored(self, state: dict[str, Any]) -> dict[str, Any]:
        assert self._scheduler is not None, "a run is restored when it is open"
        try:
            self.record.load_state_dict(state["record"])
            self.probe = Probe.from_json(state["probe"])
            self._scheduler.load_state_dict(state["scheduler"])
            found: dict[str, Any] = state["trainer"]
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"the checkpoint's state of rekindle is damaged ({type(error).__name__}: {error}); resume from an "
                "earlier checkpoint"
            ) from error
        return found
