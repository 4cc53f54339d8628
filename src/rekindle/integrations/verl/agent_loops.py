"""Agent loops at the temperature and seed of their row, whatever loop of verl or of the user plays the session."""

from typing import Any

import ray
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ

from rekindle.integrations.verl import search_loop
from rekindle.integrations.verl.ray_errors import RewardFunctionError
from rekindle.integrations.verl.row_keys import SEED, TEMPERATURE
from rekindle.integrations.verl.session_failures import check_score, failure_of, note_failure
from rekindle.types import UserError

__all__ = ["LOOPS", "RowAgentLoopManager", "RowAgentLoopWorker", "row_sampling"]

LOOPS = (search_loop.SearchLoop, search_loop.SingleTurnLoop, search_loop.ProposerLoop, search_loop.CheckLoop)
"""Agent loops of ours, which every worker knows by name."""

SEED_BITS = 31
"""Bits of the seed that an engine takes; vLLM's and SGLang's are signed."""
GOLDEN = 0x9E3779B97F4A7C15
"""2 ** 64 / golden ratio, which spreads the sessions of a prompt over all seeds."""


def row_sampling(sampling: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Sampling parameters of a session.

    Args:
        sampling: Those of all sessions.
        row: Keys of the prompt's row, with the number of the session.
    """
    own = dict(sampling)
    if TEMPERATURE in row:
        own["temperature"] = float(row[TEMPERATURE])
    if SEED in row:
        own["seed"] = (int(row[SEED]) + GOLDEN * (int(row["session_id"]) + 1)) % 2**64 >> (64 - SEED_BITS)
    return own


class _RowAgentLoopWorker(AgentLoopWorkerTQ.__ray_metadata__.modified_class):
    """verl's worker of agent loops, which tells the driver why a session failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shown: set[str] = set()
        """Failures of the reward function whose traceback is in the log."""

    async def _run_agent_loop(self, sampling_params: dict[str, Any], trajectory: dict[str, Any], **row: Any) -> Any:
        try:
            return await super()._run_agent_loop(row_sampling(sampling_params, row), trajectory, **row)
        except Exception as error:
            failure = failure_of(error)
            await note_failure(row["uid"], row["session_id"], failure)
            shown = failure.mendable or failure.text in self._shown
            self._shown |= {failure.text} if failure.of_reward else set()
            if not shown:  # verl shows its traceback
                raise

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **row: Any) -> None:
        if not validate and isinstance(output, list) and len(output) != 1:
            raise UserError(
                f"the agent loop returned {len(output)} trajectories for one session, and rekindle trains on one; "
                "return the last one, or train with a trainer mode of verl"
            )
        await super()._agent_loop_postprocess(output, validate, **row)

    async def _compute_score(self, outputs: Any, kwargs: dict[str, Any]) -> None:
        judged_here = outputs[-1].reward_score is None
        try:
            await super()._compute_score(outputs, kwargs=kwargs)
        except Exception as error:
            raise RewardFunctionError from error
        if judged_here:
            check_score(outputs[-1].reward_score)


RowAgentLoopWorker = ray.remote(_RowAgentLoopWorker)


class RowAgentLoopManager(AgentLoopManagerTQ):
    """verl's manager, with our workers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = RowAgentLoopWorker
