"""Prompts of a run on verl: rows of its dataset, or tasks that self-play makes, and their way to the agent loops."""

from collections.abc import Mapping, Sequence
from typing import Any

from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from rekindle.config import Config
from rekindle.config.facts import plays_itself
from rekindle.environments.rewards import build_rewards
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.integrations.verl.groups import VerlGroups
from rekindle.integrations.verl.rows import row_of
from rekindle.integrations.verl.self_play import build_submitted_supply
from rekindle.integrations.verl.sessions import chat_of
from rekindle.integrations.verl.settings.environments import SEARCH
from rekindle.records.supply import GivenTasks, Supply
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks.task_set import levels_of

__all__ = ["TrainerPrompts"]


class TrainerPrompts:
    """What rollouts need of verl's trainer (``groups.Prompts``), and what adds tasks to the pool.

    Args:
        trainer: verl's trainer, with its tokenizer and dataset.
        settings: The run's settings.
    """

    def __init__(self, trainer: Any, settings: Config) -> None:
        self._trainer, self._settings = trainer, settings
        self._created = CreatedTasks() if plays_itself(settings) else None

    def submit(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Begin the sessions of rows."""
        batch = tu.get_tensordict(collate_fn([dict(row) for row in rows]))
        tu.assign_non_tensor_data(batch, "global_steps", self._trainer.global_steps)
        self._trainer._submit_batch_to_rollout(batch)

    def place(self, row: int) -> int:
        """Number of a row of the scheduler in the dataset; in self-play among the created tasks."""
        return row if self._created is not None else self._trainer.run.places[row]

    def row(self, place: int) -> Mapping[str, Any]:
        """A row of the dataset by its number; in self-play that of a created task."""
        if self._created is not None:
            return row_of(self._created.tasks[place], SEARCH, place)
        found: Mapping[str, Any] = self._trainer.train_dataset[place]
        return found

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, without special ones."""
        return str(self._trainer.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    @property
    def ends(self) -> set[int]:
        """End tokens."""
        return {self._trainer.tokenizer.eos_token_id} - {None}

    @property
    def updates_per_sync(self) -> int:
        """Updates of one of verl's steps, after which the weights are synchronised."""
        return int(self._trainer.parameter_sync_step)

    def supply(self, scheduler: Scheduler, groups: VerlGroups) -> Supply:
        """What adds tasks to the pool: in self-play the proposer, elsewhere nothing.

        Args:
            scheduler: The run's scheduler.
            groups: Plays the proposer's sessions.
        """
        tasks = self._trainer.run.tasks
        if self._created is None:
            return GivenTasks(levels_of(tasks))
        assert isinstance(scheduler.pool, GrowingPool), "self-play has a pool that grows"
        return build_submitted_supply(
            self._settings,
            tasks,
            chat=chat_of(self._settings, self._trainer.config, self._trainer.tokenizer),
            sessions=groups,
            verifier=build_rewards(self._settings),
            pool=scheduler.pool,
            created=self._created,
        )
