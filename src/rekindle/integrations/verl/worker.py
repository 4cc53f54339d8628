"""Training workers: log-probabilities of every row at its own temperature, in old policy, reference and loss.

verl's FSDP engine takes a temperature per row, but its trainer gives one for all. The driver writes those of the rows
into TransferQueue, where they are not all the same, and here they take the place of the one for all.
"""

from typing import Any

from tensordict import TensorDict
from verl.experimental.separation.engine_workers import DetachActorWorker
from verl.single_controller.base.decorator import make_nd_compute_dataproto_dispatch_fn, register
from verl.workers.engine_workers import ActorRolloutRefWorker

from rekindle.integrations.verl.row_keys import ROW_TEMPERATURE

__all__ = ["DetachedRowWorker", "RowWorker"]

ON_ACTORS = make_nd_compute_dataproto_dispatch_fn(mesh_name="actor")
ON_REFERENCES = make_nd_compute_dataproto_dispatch_fn(mesh_name="ref")


def with_row_temperatures(data: TensorDict) -> TensorDict:
    """The data with a temperature per row, where the rows have one."""
    if ROW_TEMPERATURE in data.keys():  # noqa: SIM118 (a TensorDict is iterated by rows)
        temperatures = data[ROW_TEMPERATURE].float().reshape(-1)
        data.pop("temperature", None)
        data["temperature"] = temperatures
    return data


class RowTemperatures:
    """Adds temperatures of rows to a worker of verl."""

    @register(dispatch_mode=ON_ACTORS)  # type: ignore[untyped-decorator]
    def compute_log_prob(self, data: TensorDict) -> Any:
        """Log-probabilities and entropies of the old policy."""
        return super().compute_log_prob(with_row_temperatures(data))  # type: ignore[misc]

    @register(dispatch_mode=ON_REFERENCES)  # type: ignore[untyped-decorator]
    def compute_ref_log_prob(self, data: TensorDict) -> Any:
        """Log-probabilities of the reference."""
        return super().compute_ref_log_prob(with_row_temperatures(data))  # type: ignore[misc]

    @register(dispatch_mode=ON_ACTORS)  # type: ignore[untyped-decorator]
    def update_actor(self, data: TensorDict) -> Any:
        """The optimizer steps of an update."""
        return super().update_actor(with_row_temperatures(data))  # type: ignore[misc]


class RowWorker(RowTemperatures, ActorRolloutRefWorker):
    """verl's worker of policy, rollouts and reference."""


class DetachedRowWorker(RowTemperatures, DetachActorWorker):
    """verl's worker where rollouts have machines of their own."""
