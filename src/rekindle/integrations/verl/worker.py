"""Training workers: every row at its own temperature in old policy, reference and loss; dummy rows count nowhere.

verl's FSDP engine takes a temperature per row, but its trainer gives one for all. The driver writes those of the rows
into TransferQueue, where they are not all the same, and here they take the place of the one for all. verl's means over
rows divide by ``global_batch_size``, in which its trainer counts dummy rows; here it is the number of the others.
"""

from typing import Any

from tensordict import TensorDict
from verl.experimental.separation.engine_workers import DetachActorWorker
from verl.single_controller.base.decorator import make_nd_compute_dataproto_dispatch_fn, register
from verl.utils import tensordict_utils as tu
from verl.workers.engine_workers import ActorRolloutRefWorker

from rekindle.integrations.verl.row_keys import COUNTED, ROW_TEMPERATURE

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


def without_dummies(data: TensorDict) -> TensorDict:
    """The data with a ``global_batch_size`` in which dummy rows do not count, where the driver says how many do."""
    if (counted := tu.pop(data, COUNTED, default=None)) is not None:
        tu.assign_non_tensor(data, global_batch_size=counted)
    return data


class RowTemperatures:
    """Adds temperatures of rows to a worker of verl, and means without dummy rows."""

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
        return super().update_actor(without_dummies(with_row_temperatures(data)))  # type: ignore[misc]


class RowWorker(RowTemperatures, ActorRolloutRefWorker):
    """verl's worker of policy, rollouts and reference."""


class DetachedRowWorker(RowTemperatures, DetachActorWorker):
    """verl's worker where rollouts have machines of their own."""
