"""verl on a CPU, for tests and demonstrations: no change to verl, and no claim about its speed.

Every process of a run imports this package where the environment has

    VERL_USE_EXTERNAL_MODULES=rekindle.integrations.verl.cpu

and a run then needs ``trainer.device=cpu``, ``actor_rollout_ref.rollout.name=rekindle_cpu``, ``actor.strategy=fsdp2``,
and made-up GPUs of Ray's (``+ray_kwargs.ray_init.num_gpus=2``), because verl counts ranks in them.

    platform.py  a platform without a GPU, and process groups over gloo
    sampler.py   answers of the policy to concurrent requests, with rekindle's own engine
    rollout.py   that sampler as a rollout server of verl's
    weights.py   the way of the weights where servers and trainer are separate (checkpoint_engine.backend=rekindle_cpu)

Importing the package registers all of it with verl; nothing of verl's is imported for it.
"""

import os
from types import ModuleType
from typing import Any

from rekindle.integrations.verl.cpu.platform import use_cpu, use_gloo, without_pinned_memory
from rekindle.integrations.verl.post_import import after_import, named

__all__ = ["ROLLOUT"]

ROLLOUT = "rekindle_cpu"
"""``actor_rollout_ref.rollout.name``, and ``actor_rollout_ref.rollout.checkpoint_engine.backend``."""

ADAPTER = "rekindle.integrations.verl.cpu.rollout.CpuServerAdapter"


def _add_adapter(module: ModuleType) -> None:
    module._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = ADAPTER


def _add_replica(module: ModuleType) -> None:
    module.RolloutReplicaRegistry.register(ROLLOUT, _replica)


def _replica() -> Any:
    from rekindle.integrations.verl.cpu.rollout import CpuReplica

    return CpuReplica


os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")  # verl's FSDP engine, which it registers for GPUs only
after_import("verl.plugin.platform", use_cpu)
after_import("verl.utils.distributed", use_gloo)
after_import("verl.workers.engine.fsdp.transformer_impl", without_pinned_memory)
after_import("verl.checkpoint_engine.base", named("rekindle.integrations.verl.cpu.weights:register"))
after_import("verl.workers.rollout.base", _add_adapter)
after_import("verl.workers.rollout.replica", _add_replica)
