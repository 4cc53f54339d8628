"""Task flow: what a scheduler does differently where the policy makes its tasks itself (self-play)."""

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
    """How tasks come to a scheduler."""

    def history(self, task_ids: Iterable[str], belief: Belief) -> History:
        """The history at the start."""
        ...

    def pool(self, pool: Pool) -> Pool:
        """The pool that prompts are drawn from, around the one of ``pool.kind``."""
        ...

    def gate(self, gate: gates.Gate) -> gates.Gate:
        """The gate, given that of ``train.gate``."""
        ...


def task_flow(config: Config) -> TaskFlow:
    """The task flow of a configuration."""
    return SelfMade(config) if plays_itself(config) else Given()


class Given:
    """Every task is there at the start."""

    def history(self, task_ids: Iterable[str], belief: Belief) -> History:
        """A row per task."""
        return History(task_ids, belief)

    def pool(self, pool: Pool) -> Pool:
        """The pool itself."""
        return pool

    def gate(self, gate: gates.Gate) -> gates.Gate:
        """The gate itself."""
        return gate


class SelfMade:
    """Tasks come while the run goes on.

    Args:
        config: The run.
    """

    def __init__(self, config: Config) -> None:
        self._table = config.self_play

    def history(self, task_ids: Iterable[str], belief: Belief) -> History:
        """Without rows; ``task_ids`` are not read."""
        return History((), belief, growing=True)

    def pool(self, pool: Pool) -> Pool:
        """A growing pool around it."""
        assert isinstance(pool, WeightedPool), "every pool that the configuration allows here is one"
        replay, resets = self._table.fill in {"replay", "replay_reset"}, self._table.fill == "replay_reset"
        return GrowingPool(pool, replay=replay, reset_every=self._table.reset_every if resets else None)

    def gate(self, gate: gates.Gate) -> gates.Gate:
        """Nothing passes while the solver does not learn."""
        if self._table.fixed == "solver":
            return gates.nothing
        return lambda group: group.request.step >= self._table.solver_from_step and gate(group)
