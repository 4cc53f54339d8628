"""Weights from trainers to rollout servers that run beside them, as ``trainer.v1.trainer_mode=separate_async`` wants it.

The first rank of the trainer keeps a store of torch's (TCP), the other ends read it: enough for tiny models.

    prepare             the first rank opens the store
    init_process_group  the servers' workers connect to it
    send, receive       all weights as one value of the store
    finalize            everybody lets go of it
"""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from types import ModuleType
from typing import Any

import torch
from torch.distributed import TCPStore
from verl.checkpoint_engine.base import CheckpointEngine
from verl.workers.rollout.utils import ensure_async_iterator

from rekindle.integrations.verl.cpu import ROLLOUT

__all__ = ["StoredWeights", "register"]

HOST = "127.0.0.1"
WEIGHTS = "weights"
PATIENCE = timedelta(seconds=300)


class StoredWeights(CheckpointEngine):
    """An end of the way that weights take; verl makes one in every worker.

    Args:
        bucket_size: Not used: weights go in one piece.
        is_master: This is the first rank of the trainer.
    """

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        self._is_master = is_master
        self._store: TCPStore | None = None

    def prepare(self) -> dict[str, Any]:
        """Open the store, on the first rank of the trainer; say where it is."""
        if not self._is_master:
            return {}
        self._store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
        return {"port": self._store.port}

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: Sequence[dict[str, Any]]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Arguments of ``init_process_group`` for the trainer's ranks, which need none, and for the servers' workers."""
        port = metadata[0]["port"]
        return {"port": [None] * actor_wg_world_size}, {"port": [port] * rollout_world_size}

    def init_process_group(self, port: int | None) -> None:
        """Connect to the store."""
        if port is not None:
            self._store = TCPStore(HOST, port, is_master=False, wait_for_workers=False, timeout=PATIENCE)

    def finalize(self) -> None:
        """Let go of the store."""
        self._store = None

    async def send_weights(self, weights: Any, global_steps: int | None = None) -> None:
        """Gather the weights on every rank, and put them into the store of the first one."""
        gathered = {}
        async for name, tensor in ensure_async_iterator(weights):
            if self._is_master:
                gathered[name] = tensor.detach().cpu().clone()
        if self._store is not None:
            written = io.BytesIO()
            torch.save(gathered, written)
            self._store.set(WEIGHTS, written.getvalue())

    async def receive_weights(self, global_steps: int | None = None) -> AsyncIterator[tuple[str, torch.Tensor]]:
        """The weights, as soon as the store has them."""
        assert self._store is not None, "the other end was connected"
        value = await asyncio.to_thread(self._store.get, WEIGHTS)
        for name, tensor in torch.load(io.BytesIO(value), weights_only=True).items():
            yield name, tensor


def register(module: ModuleType) -> None:
    """Add the class to the registry of ``verl.checkpoint_engine.base``."""
    module.CheckpointEngineRegistry.register(ROLLOUT)(StoredWeights)
