"""The sampler as a rollout server of verl's: an actor of Ray's per replica, which the training workers push weights to.

Only the first rank of a replica pushes. With ``rollout.tensor_model_parallel_size`` equal to the number of ranks there
is one server, and one process less for every further rank.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from torch import Tensor
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput
from verl.workers.rollout.utils import ensure_async_iterator

from rekindle.integrations.verl.cpu import ROLLOUT
from rekindle.integrations.verl.cpu.sampler import LiveSampler, request_of
from rekindle.models.policy import Policy
from rekindle.types import UserError

__all__ = ["CpuReplica", "CpuServerAdapter", "SamplingServer"]

CONCURRENCY = 4096
"""Most requests that wait in a server."""


class SamplingServer:
    """Answers the requests of verl's agent loops.

    Args:
        model: Directory of the model.
        limits: ``prompt_length`` and ``response_length`` of verl's rollout configuration.
        max_rows: Most requests that are answered at the same time.
        seed: Requests without a seed get numbers from here on.
    """

    def __init__(self, model: str, limits: tuple[int, int], max_rows: int, seed: int) -> None:
        self._sampler = LiveSampler(Policy.load(model, device="cpu"), max_rows=max_rows)
        self._limits, self._seeds = limits, itertools.count(seed)

    async def generate(
        self, request_id: str, prompt_ids: Sequence[int], sampling_params: Mapping[str, Any], **further: Any
    ) -> TokenOutput:
        """Answer a request; see ``verl.workers.rollout.llm_server.LLMServerClient.generate``."""
        if seen := sorted(name for name, value in further.items() if name.endswith("_data") and value is not None):
            raise UserError(f"the CPU rollout of rekindle answers text only, and a request has {seen[0]}")
        prompt, response = self._limits
        limit = min(response, prompt + response - len(prompt_ids))
        request = request_of(list(prompt_ids), sampling_params, limit=limit, seed=next(self._seeds))
        answer = await self._sampler.answer(request)
        return TokenOutput(
            token_ids=answer.completion.token_ids,
            log_probs=answer.completion.logprobs,
            stop_reason="aborted" if answer.aborted else "completed",
            extra_fields={"global_steps": answer.version},
        )

    async def update_weights(self, weights: Mapping[str, Tensor], global_steps: int | None) -> None:
        """Take over weights; see ``LiveSampler.load``."""
        await self._sampler.load(weights, global_steps)

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        """End all requests where they are, and hold later ones back until ``resume_generation``."""
        await self._sampler.abort(reject=reject_request)

    async def resume_generation(self) -> None:
        """Admit requests again."""
        self._sampler.resume()

    async def wake_up(self) -> None:
        """Nothing to do: a CPU has no memory that another process waits for. Nor in the next methods."""

    sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = stop_profile = wake_up

    async def start_profile(self, **options: Any) -> None:
        """Nothing to do: there is no profiler."""


def server_name(replica_rank: int) -> str:
    """Name of a replica's actor."""
    return f"{ROLLOUT}_server_{replica_rank}"


class CpuReplica(RolloutReplica):
    """A replica of one server, beside the training workers."""

    async def launch_servers(self) -> None:
        """Start the server, and wait for it to have its model."""
        limits = self.config.prompt_length, self.config.response_length
        name = server_name(self.replica_rank) + self.name_suffix
        actor = ray.remote(SamplingServer).options(name=name, num_cpus=0, max_concurrency=CONCURRENCY)
        seed = (self.config.seed + self.replica_rank) << 32
        self._server_handle = actor.remote(self.model_config.path, limits, self.config.max_num_seqs, seed)
        self._server_address = name
        self.servers = [self._server_handle]
        await self._server_handle.wake_up.remote()


class CpuServerAdapter(BaseRollout):
    """In a training worker: pushes the weights to the server of its replica."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        rank, rollout = int(os.environ["RANK"]), self.config
        ranks = rollout.tensor_model_parallel_size * rollout.data_parallel_size * rollout.pipeline_model_parallel_size
        self.replica_rank = rank // ranks if replica_rank < 0 else replica_rank
        self.is_leader_rank = rank % ranks == 0

    async def update_weights(
        self, weights: Any, wire_format: str = "named_tensors", global_steps: int | None = None, **further: Any
    ) -> None:
        """Gather the weights on every rank, and push them from the first one of the replica."""
        if wire_format != "named_tensors" or further.get("peft_config") is not None:
            raise UserError(
                "the CPU rollout of rekindle takes whole weights; merge LoRA into them (model.lora.merge=True)"
            )
        gathered = {}
        async for name, tensor in ensure_async_iterator(weights):
            if self.is_leader_rank:
                gathered[name] = tensor.detach().cpu().clone()
        if self.is_leader_rank:
            server = ray.get_actor(server_name(self.replica_rank))
            await server.update_weights.remote(gathered, global_steps)

    async def resume(self, tags: list[str]) -> None:
        """Nothing to do: the server has kept its memory. Nor for ``release``."""

    async def release(self) -> None:
        """See ``resume``."""
