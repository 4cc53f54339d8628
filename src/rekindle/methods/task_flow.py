"""Task flow: history, pool and gate of a scheduler, for given tasks and for self-play."""

from collections.abc import Iterable
from typing import Protocol

from rekindle.config import Config
from rekindle.config.facts import plays_itself
from rekindle.scheduling import gates
from rekindle.scheduling.belief import Belief
from rekindle.scheduling.history import History
from rekindle.scheduling.pools import GrowingPool, Pool
from rekindle.scheduling.pools.weighted import WeightedPool

__all__ = ["TaskFlow", "task_flow"]


class TaskFlow(Protocol):
    """The parts of a scheduler that depend on where its tasks come from."""

    def history(self, task_ids: Iterable[str], belief: Belief) -> History:
        """The history at the start."""
        ...

    def pool(self, pool: Pool) -> Pool:
        """The pool that prompts are drawn from, given the pool of ``pool.kind``."""
        ...

    def gate(self, gate: gates.Gate) -> gates.Gate:
        """The gate, given the gate of ``train.gate``."""
        ...


def task_flow(config: Config) -> TaskFlow:
    """The task flow of a configuration."""
    return SelfPlayTaskFlow(config) if plays_itself(config) else GivenTaskFlow()


class GivenTaskFlow:
    """Task flow of a run whose tasks are all known at the start."""

    def history(self, task_ids: Iterable[str], belief: Belief) -> History:
        """A history with one row per task."""
        return History(task_ids, belief)

    def pool(self, pool: Pool) -> Pool:
        """The pool itself."""
        return pool

    def gate(self, gate: gates.Gate) -> gates.Gate:
        """The gate itself."""
        return gate


class SelfPlayTaskFlow:
    """Task flow of self-play, which adds tasks during the run.

    Args:
        config: The run.
    """

    def __init__(self, config: Config) -> None:
        self._table = config.self_play

    def history(self, task_ids: Iterable[str], belief: Belief) -> History:
        """An empty history that can grow; ``task_ids`` are not read."""
        return History((), belief, growing=True)

    def pool(self, pool: Pool) -> Pool:
        """A growing pool around the given one."""
        assert isinstance(pool, WeightedPool), "the rules of the configuration refuse other pools in self-play"
        replay, resets = self._table.fill in {"replay", "replay_reset"}, self._table.fill == "replay_reset"
        return GrowingPool(pool, replay=replay, reset_every=self._table.reset_every if resets else None)

    def gate(self, gate: gates.Gate) -> gates.Gate:
        """The gate, closed in the steps in which the solver does not learn."""
        if self._table.fixed == "solver":
            return gates.nothing
        return lambda group: group.request.step >= self._table.solver_from_step and gate(group)
