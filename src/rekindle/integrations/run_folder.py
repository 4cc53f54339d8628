"""The folder of a run whose training loop is another library's: its checks, its files, and its report."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rekindle.config import Config, ConfigError
from rekindle.config.facts import plays_itself
from rekindle.notices import Say, opened, warn
from rekindle.observability.opened_files import opened_run_files
from rekindle.observability.report import write_report
from rekindle.planning import write_null_control
from rekindle.records import run_directory
from rekindle.records.run_files import RunFiles
from rekindle.records.run_tasks import keep_tasks, same_pool
from rekindle.types import Task, UserError

__all__ = ["RunFolder"]


class RunFolder:
    """Run directory of a process.

    Args:
        config: The run's settings.
        directory: Run directory; None: this process writes no files.
        said: A message -> the same in the words of the other trainer.
        say: Shows a line to the user.
    """

    def __init__(self, config: Config, directory: Path | None, *, said: Callable[[str], str], say: Say) -> None:
        self._config, self._directory, self._said, self._say = config, directory, said, say

    def check(self, *, resume: bool, resumable: bool) -> None:
        """Check whether the run may use its directory, without writing to it.

        Args:
            resume: The run goes on from a checkpoint.
            resumable: There is a checkpoint to go on from; without one, a run begins again.

        Raises:
            ConfigError: The directory has another run, or the run began with other settings.
        """
        directory = self._directory
        if directory is None:
            return
        begun = (directory / "config.toml").is_file()
        with self._worded():
            if begun and resumable and not resume:
                raise ConfigError(
                    f"{directory} has the files of an earlier run; add --resume to go on with its run, or choose "
                    "another --out"
                )
            if resume and not begun:
                raise ConfigError(
                    f"{directory} has no files of the run to resume (no config.toml); restore them, or choose "
                    "another --out and begin with the checkpoint's model"
                )
            if resume:
                run_directory.check_same(self._config, directory)

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Errors of the body in the words of the other trainer."""
        try:
            yield
        except UserError as error:
            raise type(error)(self._said(str(error))) from error

    def ordered(self, tasks: Sequence[Task], *, resume: bool) -> list[str]:
        """Ids of the tasks in the order of the run.

        Raises:
            RunTasksError: The tasks are not those that the run began with.
        """
        if self._directory is None or not resume:
            return [task.id for task in tasks]
        with self._worded():
            return [task.id for task in same_pool(self._directory, tasks)]

    @contextmanager
    def opened(
        self, tasks: Sequence[Task], evaluated_on: Sequence[Task], *, resume: bool, **facts: Any
    ) -> Iterator[RunFiles | None]:
        """The files of the run, closed at the end, and with a report where the body did not fail.

        Args:
            tasks: The tasks of the run, in its order.
            evaluated_on: The prompts that the other trainer evaluates on, as far as they are known.
            resume: The run goes on from a checkpoint, and its account removes what came after it.
            facts: Further facts for ``run.json``.
        """
        if self._directory is None:
            yield None
            return
        with ExitStack() as stack:
            with self._worded():
                stack.enter_context(run_directory.locked(self._directory))
                replaced = self._begin(tasks, evaluated_on, facts) if not resume else False
            proposals = "proposals.jsonl" if plays_itself(self._config) else None
            files = stack.enter_context(opened_run_files(self._directory, proposals=proposals))
            if not resume:
                files.truncate_after(0)
            channel = stack.enter_context(opened())
            stack.enter_context(channel.kept_in(files.warnings))
            if replaced:
                warn(f"{self._directory} has the files of a run without a checkpoint; they are replaced")
            yield files
        write_null_control(self._config, self._directory)
        self._say(f"report: {write_report(self._directory)}")

    def _begin(self, tasks: Sequence[Task], evaluated_on: Sequence[Task], facts: Mapping[str, Any]) -> bool:
        """Write the files that a run begins with; whether there was an earlier one."""
        directory = self._directory
        assert directory is not None, "only the main process has files"
        try:
            replaced = (directory / "metrics.jsonl").exists() and (directory / "metrics.jsonl").stat().st_size > 0
            run_directory.describe(directory, self._config, pool=len(tasks), command=list(sys.argv), **facts)
            keep_tasks(directory, tasks, evaluated_on)
        except OSError as error:
            raise ConfigError(f"{directory} cannot be written ({error}); choose another --out") from error
        return replaced

    def note_ending(self, name: str, why: str) -> None:
        """Keep in ``run.json`` how the run ended."""
        if self._directory is not None:
            run_directory.note_ending(self._directory, name, self._said(why))
