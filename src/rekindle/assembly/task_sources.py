"""Task sources: the differences between runs on given tasks and runs with self-play, which create their tasks."""

from typing import Protocol

from rekindle.assembly.bench import Workbench
from rekindle.assembly.players import Players
from rekindle.assembly.self_play import build_self_play
from rekindle.config import Config
from rekindle.config.facts import plays_itself
from rekindle.engines.engine import Engine
from rekindle.records.supply import GivenTasks
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks.task_set import levels_of

__all__ = ["TaskSource", "task_source"]


class TaskSource(Protocol):
    """Source of the tasks of a run."""

    @property
    def log_file(self) -> str | None:
        """File of the run directory with a line for every proposal; None: no tasks are created."""
        ...

    @property
    def samples_from_start(self) -> bool:
        """Whether the run samples from its start policy."""
        ...

    def players(self, bench: Workbench, scheduler: Scheduler | None, start: Engine | None) -> Players:
        """The supply of the run's tasks and the environment that plays them.

        Args:
            bench: The workbench.
            scheduler: The scheduler of the run; None while a profile is still to be made.
            start: Samples from the start policy; None unless ``samples_from_start``.
        """
        ...


def task_source(config: Config) -> TaskSource:
    """The task source of a configuration."""
    return SelfPlaySource(config) if plays_itself(config) else GivenSource()


class GivenSource:
    """Source of given tasks: they exist before the run."""

    log_file = None
    samples_from_start = False

    def players(self, bench: Workbench, scheduler: Scheduler | None, start: Engine | None) -> Players:
        """The tasks of the workbench and their environment."""
        return Players(GivenTasks(levels_of(bench.tasks.pool)), bench.environment(bench.tasks.pool))


class SelfPlaySource:
    """Source of created tasks: the policy proposes them during the run.

    Args:
        config: The complete configuration.
    """

    log_file = "proposals.jsonl"

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def samples_from_start(self) -> bool:
        """True with a fixed opponent, a reference solver, or the start policy as verifier."""
        table, check = self._config.self_play, self._config.check
        return table.fixed != "none" or table.reference_samples > 0 or check.kind == "start"

    def players(self, bench: Workbench, scheduler: Scheduler | None, start: Engine | None) -> Players:
        """The supply of questions, and the environment of the solver."""
        pool = None if scheduler is None else scheduler.pool
        assert isinstance(pool, GrowingPool), "self-play has a pool that grows, and no profile to wait for"
        return build_self_play(bench, pool, start)
