"""Replay buffer that asks the run for the batch of a step, where verl's takes the prompts that finished first."""

from collections.abc import Callable
from typing import Any

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from rekindle.integrations.verl.groups import PARTITION
from rekindle.integrations.verl.session_failures import FUNCTION, raise_mendable, taken_failures

__all__ = ["RunBuffer"]

POLL_SECONDS = 0.25
"""Time between two looks for finished validations, which list all rows."""


class RunBuffer(ReplayBuffer):
    """Batches of training come from the run; those of validation as in verl.

    Args:
        collect: Makes the batch of a step, and metrics.
        given: Arguments of verl's buffer.
    """

    def __init__(self, collect: Callable[[], tuple[KVBatchMeta, dict[str, float]]], **given: Any) -> None:
        super().__init__(**given, poll_interval=POLL_SECONDS)
        self._collect = collect

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, float]]:
        """The next batch.

        Raises:
            UserError: A session of a validation failed with what the user can mend, or all did in the reward function.
        """
        if partition_id == PARTITION:
            return self._collect()
        found: tuple[KVBatchMeta, dict[str, float]] = super().sample(global_steps, partition_id, batch_size)
        failures = [one for several in taken_failures().values() for one in several]
        raise_mendable(failures)
        if not found[0].keys:
            for one in failures:
                if one.of_reward:
                    raise one.error(f"{FUNCTION} raised an error for every held-out prompt ({one.text}); correct it")
        return found
