"""Weights from trainers to rollout servers that run beside them, for ``trainer.v1.trainer_mode=separate_async``.

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
import torch.distributed

from rekindle.integrations.verl.cpu import ROLLOUT

__all__ = ["StoredWeights", "register"]

HOST = "127.0.0.1"
WEIGHTS = "weights"
PATIENCE = timedelta(seconds=300)


class StoredWeights:
    """An end of the way that weights take, in the shape of verl's ``CheckpointEngine``; every worker makes one.

    Args:
        bucket_size: Not used: weights go in one piece.
        is_master: This is the first rank of the trainer.
    """

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        self._is_master = is_master
        self._store: Any = None

    def prepare(self) -> dict[str, Any]:
        """Open the store, on the first rank of the trainer; say where it is."""
        if not self._is_master:
            return {}
        self._store = _store(0, is_master=True)
        return {"port": self._store.port}

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: Sequence[dict[str, Any]]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Arguments of ``init_process_group``: the trainer's ranks need none, and the servers' workers the port."""
        port = metadata[0]["port"]
        return {"port": [None] * actor_wg_world_size}, {"port": [port] * rollout_world_size}

    def init_process_group(self, port: int | None) -> None:
        """Connect to the store."""
        if port is not None:
            self._store = _store(port, is_master=False)

    def finalize(self) -> None:
        """Let go of the store."""
        self._store = None

    async def send_weights(self, weights: Any, global_steps: int | None = None) -> None:
        """Gather the weights on every rank, and put them into the store of the first one."""
        from verl.workers.rollout.utils import ensure_async_iterator

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


def _store(port: int, *, is_master: bool) -> Any:
    return torch.distributed.TCPStore(  # type: ignore[attr-defined]
        HOST, port, is_master=is_master, wait_for_workers=False, timeout=PATIENCE
    )


def register(module: ModuleType) -> None:
    """Add the class to the registry of ``verl.checkpoint_engine.base``."""
    module.CheckpointEngineRegistry.register(ROLLOUT)(StoredWeights)
