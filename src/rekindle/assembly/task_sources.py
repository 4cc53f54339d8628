"""Task sources: what differs between a run on given tasks and one whose policy makes its tasks itself (self-play)."""

from typing import Protocol

from rekindle.assembly.bench import Workbench
from rekindle.assembly.players import Players
from rekindle.assembly.self_play import build_self_play
from rekindle.config import Config
from rekindle.config.facts import plays_itself
from rekindle.engines.engine import Engine
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks import search_world
from rekindle.tasks.task_set import levels_of
from rekindle.training.supply import GivenTasks
from rekindle.types import Document, UserError

__all__ = ["TaskSource", "task_source"]


class TaskSource(Protocol):
    """Where the tasks of a run come from."""

    @property
    def log_file(self) -> str | None:
        """File of the run directory with a line for every task that is made; None where none is made."""
        ...

    @property
    def samples_from_start(self) -> bool:
        """Whether somebody samples from the policy that the run began with."""
        ...

    def check_profilable(self) -> None:
        """See whether there are tasks before the run.

        Raises:
            UserError: There are none.
        """
        ...

    def world_passages(self, params: search_world.Params, corpus: str) -> list[Document]:
        """What is searched in the embedded search world."""
        ...

    def players(self, bench: Workbench, scheduler: Scheduler | None, start: Engine | None) -> Players:
        """What makes the tasks of the run, and what plays them.

        Args:
            bench: The policy and what it needs to play.
            scheduler: Of the run; None while a profile is still to be made.
            start: Samples from the start policy; None unless ``samples_from_start``.
        """
        ...


def task_source(config: Config) -> TaskSource:
    """The task source of a configuration."""
    return SelfMade(config) if plays_itself(config) else Given()


class Given:
    """Tasks that are there before the run."""

    log_file = None
    samples_from_start = False

    def check_profilable(self) -> None:
        """Fine."""

    def world_passages(self, params: search_world.Params, corpus: str) -> list[Document]:
        """Every fact, to be found from its subject."""
        return search_world.passages(params, corpus)

    def players(self, bench: Workbench, scheduler: Scheduler | None, start: Engine | None) -> Players:
        """The tasks of the workbench, in its environment."""
        return Players(GivenTasks(levels_of(bench.tasks.pool)), bench.environment(bench.tasks.pool))


class SelfMade:
    """Tasks that the policy makes in the run.

    Args:
        config: The run.
    """

    log_file = "proposals.jsonl"

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def samples_from_start(self) -> bool:
        """A fixed opponent does, and the reference solver."""
        table = self._config.self_play
        return table.fixed != "none" or table.reference_samples > 0

    def check_profilable(self) -> None:
        """Refuse."""
        raise UserError(
            'task.source = "self_play" invents its questions in the run, so there are none to profile; profile a '
            'set of questions with task.source = "jsonl", or evaluate with `rekindle eval`'
        )

    def world_passages(self, params: search_world.Params, corpus: str) -> list[Document]:
        """Every fact, to be found from its subject and from its object, where a proposer begins."""
        return search_world.self_play_passages(params, corpus)

    def players(self, bench: Workbench, scheduler: Scheduler | None, start: Engine | None) -> Players:
        """Proposer, check and reference solver, and the solver's environment."""
        pool = None if scheduler is None else scheduler.pool
        assert isinstance(pool, GrowingPool), "self-play has a pool that grows, and no profile to wait for"
        return build_self_play(bench, pool, start)
