"""A run whose training loop is another library's: tasks, scheduler, account and state, from ``opened`` on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rekindle.config import Config
from rekindle.integrations.recorded_run import RecordedRun
from rekindle.integrations.run_folder import RunFolder
from rekindle.integrations.steps import Steps
from rekindle.methods import build_credit, build_scheduler
from rekindle.notices import Say
from rekindle.records.supply import GivenTasks, Supply
from rekindle.records.update_stats import UpdateStats
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import Environment, Task, UserError

__all__ = ["FOLDER", "HostedRun"]

FOLDER = "rekindle"
"""Folder of the run files in the other trainer's directory, and of the state in its checkpoints."""


class HostedRun:
    """The run of a trainer.

    Args:
        config: The run's settings.
        tasks: The prompts, in the other trainer's order.
        rollouts: Plays the scheduler's requests.
        directory: Run directory; None: this process writes no files.
        parameters: Number of parameters, for FLOPs.
        decode: Token ids -> text, for samples.
        said: A message -> the same in the words of the other trainer.
        say: Shows a line to the user.
        main: Whether this process warns and says anything.
        supply: Scheduler -> what adds tasks to its pool during the run; the tasks are then what it begins from.
        counts_silent: Whether rollouts of groups without signal count in the loss, as in the other trainer.

    Attributes:
        config: The run's settings.
        record: Account of the run.
        places: Row of the other trainer's dataset by the task's row in the scheduler.
        parameters: Number of parameters.
    """

    def __init__(
        self,
        config: Config,
        tasks: Sequence[Task],
        rollouts: Environment,
        *,
        directory: Path | None,
        parameters: int,
        decode: Callable[[Sequence[int]], str],
        said: Callable[[str], str],
        say: Say,
        main: bool = True,
        supply: Callable[[Scheduler], Supply] = lambda scheduler: GivenTasks(),
        counts_silent: bool = False,
    ) -> None:
        self.config, self.parameters = config, parameters
        self.places: Sequence[int] = range(len(tasks))
        self._tasks, self._environment, self._directory = list(tasks), rollouts, directory
        self._new_supply, self._counts_silent = supply, counts_silent
        answers = {task.id: task.answer for task in tasks if task.answer}
        self._new_record = partial(
            RecordedRun,
            config,
            parameters=parameters,
            decode=decode,
            answer=answers.get,
            said=said,
            say=say,
            main=main,
        )
        self._folder = RunFolder(config, directory, said=said, say=say)
        self.record = self._new_record()
        self._steps: Steps | None = None
        self._scheduler: Scheduler | None = None
        self._supply: Supply = GivenTasks()

    @property
    def tasks(self) -> Sequence[Task]:
        """The prompts, in the order of the scheduler once the run is open."""
        return self._tasks

    @property
    def steps(self) -> Steps:
        """The steps of the run.

        Raises:
            UserError: The run is not open.
        """
        if self._steps is None:
            raise UserError("the run is not open; call the trainer's train(), which opens the run's files")
        return self._steps

    @contextmanager
    def opened(
        self,
        state: Mapping[str, Any] | None,
        *,
        resumable: bool,
        profile: Callable[[], Profile | None],
        evaluated_on: Sequence[Task] = (),
        **facts: Any,
    ) -> Iterator[None]:
        """The run with its files and its scheduler.

        Args:
            state: Of a checkpoint to go on from; None: the run begins.
            resumable: There is a checkpoint of an earlier run.
            profile: Makes or reads the profile, once the tasks are in their order.
            evaluated_on: The prompts that the other trainer evaluates on, as far as they are known.
            facts: Further facts for ``run.json``.

        Raises:
            UserError: The run files are those of another run, or the state is damaged.
        """
        resume = state is not None
        self.record = self._new_record()  # a script may train more than once
        self._folder.check(resume=resume, resumable=resumable)
        self._order(self._shared_order(self._folder.ordered(self._tasks, resume=resume)))
        with (
            self._folder.opened(self._tasks, evaluated_on, resume=resume, **facts) as files,
            self.record.writing(files),
        ):
            ids = (task.id for task in self._tasks)
            self._scheduler = scheduler = build_scheduler(self.config, ids, profile())
            self._supply = self._new_supply(scheduler)
            self._steps = Steps(
                self.config,
                scheduler,
                build_credit(self.config),
                self._environment,
                self.record,
                supply=self._supply,
                counts_silent=self._counts_silent,
            )
            try:
                if state is not None:
                    self._restore(state)
                yield
                self._folder.note_ending("bound" if self.steps.over else "done", self.steps.over)
            except KeyboardInterrupt:
                self._folder.note_ending("interrupted", "")
                raise
            finally:
                self._steps = self._scheduler = None

    def _shared_order(self, ids: list[str]) -> list[str]:
        """The order of the tasks in which the main process has the run; on one process its own."""
        return ids

    def _order(self, ids: Sequence[str]) -> None:
        place = {task.id: number for number, task in enumerate(self._tasks)}
        self.places = [place[name] for name in ids]
        self._tasks = [self._tasks[number] for number in self.places]

    def finish(self, update: UpdateStats | None, **further: Any) -> None:
        """End the step with the numbers of its update."""
        self.steps.finish(update, **further)

    def state_dict(self) -> dict[str, Any]:
        """State of the run for a checkpoint."""
        assert self._scheduler is not None, "checkpoints are written while the run is open"
        return {
            "record": self.record.state_dict(),
            "supply": self._supply.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "steps": self.steps.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; the run is open."""
        assert self._scheduler is not None, "a run is restored when it is open"
        self.record.load_state_dict(state["record"])
        self._supply.load_state_dict(state["supply"])  # first, because the scheduler's state refers to its tasks
        self._scheduler.load_state_dict(state["scheduler"])
        if "steps" in state:  # format 1 has none
            self.steps.load_state_dict(state["steps"])

    def _restore(self, state: Mapping[str, Any]) -> None:
        try:
            self.load_state_dict(state)
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"the checkpoint's state of rekindle is damaged ({type(error).__name__}: {error}); resume from an "
                "earlier checkpoint"
            ) from error
