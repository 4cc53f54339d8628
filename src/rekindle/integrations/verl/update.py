"""The update of a step on verl: which rows go through the model, their fields in TransferQueue, and its numbers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transfer_queue as tq
from tensordict import TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta

from rekindle.config import Config
from rekindle.integrations.verl.groups import PARTITION
from rekindle.integrations.verl.row_keys import ROW_TEMPERATURE
from rekindle.integrations.verl.update_rows import UpdateRow, active, jagged, relative_weights, token_fields
from rekindle.integrations.verl.update_stats import gap_of, update_stats
from rekindle.learning.aggregation import Aggregation
from rekindle.records.update_stats import UpdateStats

__all__ = ["Update"]


@dataclass(slots=True)
class Update:
    """The update that is being made.

    Attributes:
        config: The run's settings.
        aggregation: That of verl's loss.
        rows: Rows that go through the model, dummy ones not counted.
        batch: Keys and tags of the rows.
        left_out: The other trajectories of the step, which count in verl's metrics.
        keeps_denominators: Whether rows without signal count in the loss, as in verl.
        trained: Keys and tags of the rows that the optimizer step is made on; those of ``batch``, or fewer.
        began: Time when the batch was complete.
        padding: Tokens of dummy rows.
        gap: Log-probabilities of the trainer less those of the engine.
        moved: Movement of the policy; None: not measured.
    """

    config: Config
    aggregation: Aggregation
    rows: list[UpdateRow]
    batch: KVBatchMeta
    left_out: KVBatchMeta
    keeps_denominators: bool
    began: float = field(default_factory=time.perf_counter)
    trained: KVBatchMeta = field(init=False)
    padding: int = 0
    gap: tuple[float, float] | None = None
    moved: float | None = None

    def __post_init__(self) -> None:
        """Train on all rows."""
        self.trained = self.batch

    @classmethod
    def of(
        cls,
        rows: Sequence[UpdateRow],
        tags: Mapping[str, dict[str, Any]],
        *,
        config: Config,
        aggregation: Aggregation,
        keep_all: bool,
    ) -> "Update":
        """The update on a step's rows.

        Args:
            rows: A row per training sample.
            tags: verl's tag of every trajectory of the step, by key.
            config: The run's settings.
            aggregation: That of verl's loss.
            keep_all: Whether rows without gradient go through the model as well.
        """
        trained = list(rows) if keep_all else active(rows, with_kl=config.loss.kl_coefficient > 0) or list(rows)
        keys = {row.key for row in trained}
        others = [key for key in tags if key not in keys]
        return cls(
            config,
            aggregation,
            trained,
            KVBatchMeta(
                keys=[row.key for row in trained], tags=[tags[row.key] for row in trained], partition_id=PARTITION
            ),
            KVBatchMeta(keys=others, tags=[tags[key] for key in others], partition_id=PARTITION),
            keep_all,
        )

    def prepare(self, temperature: float) -> None:
        """Write what the rows have otherwise than verl thinks: temperatures and loss masks.

        Args:
            temperature: verl's, of all rows.
        """
        keys = self.batch.keys
        if any(row.sample.temperature != temperature for row in self.rows):
            temperatures = torch.tensor([row.sample.temperature for row in self.rows])
            _put(keys, TensorDict({ROW_TEMPERATURE: temperatures}, batch_size=len(keys)))
        sampled = _get(keys, "response_mask")
        masks = [torch.tensor(row.mask, dtype=torch.int64) for row in self.rows]
        if any(not torch.equal(mask, before) for mask, before in zip(masks, sampled, strict=True)):
            _put(keys, jagged({"response_mask": masks, "loss_mask": masks}))

    def pad(self, whole: KVBatchMeta) -> None:
        """Note the batch with its dummy rows."""
        self.padding = sum(tag["seq_len"] for tag in whole.tags[len(self.batch) :])
        self.batch = self.trained = whole

    def leave_out_silent(self, multiple: int) -> None:
        """Leave rows without gradient out of the one optimizer step; the others get the weights that they had.

        Dummy rows, and then the shortest of the rows that are left out, make the rest divisible.

        Args:
            multiple: Rows of all processes in one round; the batch is a multiple of it.
        """
        own = {row.key for row in active(self.rows, with_kl=False)}
        others = [place for place, key in enumerate(self.batch.keys) if key not in own]
        missing = -len(own) % multiple
        if own and len(others) > missing:
            filling = {self.batch.keys[place] for place in self._shortest(others)[:missing]}
            self.trained = self.batch.select_keys([key for key in self.batch.keys if key in own | filling])

    def _shortest(self, places: Sequence[int]) -> list[int]:
        return sorted(places, key=lambda place: self.batch.tags[place]["seq_len"])

    def credit(self) -> KVBatchMeta:
        """Write the advantages, once the old policy's log-probabilities are known; 0 for rows that do not train.

        Returns:
            The batch with its new fields.
        """
        keys = [row.key for row in self.rows]
        data = tq.kv_batch_get(keys=keys, partition_id=PARTITION, select_fields=["old_log_probs", "entropy"])
        old, entropies = list(data["old_log_probs"]), list(data["entropy"])
        self.gap = gap_of(self.rows, old)
        fields = token_fields(self.rows, self._weights(), old, entropies)
        if self.left_out.keys:
            zeros = [torch.zeros(tag["response_len"]) for tag in self.left_out.tags]
            _put(self.left_out.keys, jagged({"advantages": zeros, "returns": zeros}))
        place, dummy = {key: number for number, key in enumerate(keys)}, torch.zeros(1)
        columns = {
            name: [values[place[key]] if key in place else dummy for key in self.batch.keys]
            for name, values in fields.items()
        }
        return _put(self.batch.keys, jagged(columns))

    def _weights(self) -> list[float]:
        """Relative weights of the rows.

        Where verl's denominators stand, rows without signal count in them, and the others weigh as among themselves.
        """
        if not self.keeps_denominators:
            return relative_weights(self.rows, self.aggregation)
        credited = [row for row in self.rows if row.sample.weight]
        found = dict(zip(map(id, credited), relative_weights(credited, self.aggregation), strict=True))
        kept = self._share_of_denominators()
        return [found.get(id(row), 1.0) * kept for row in self.rows]

    def _share_of_denominators(self) -> float:
        """Weight of a row in verl's loss of the batch over its weight in that of the rows that are trained on."""
        if len(self.trained) == len(self.batch):
            return 1.0
        one = active(self.rows, with_kl=False)[0]
        whole, part = (
            self.aggregation([sum(row.mask) for row in rows], [0] * len(rows))[[row.key for row in rows].index(one.key)]
            for rows in (self.rows, self._trained_rows)
        )
        return float(whole / part)

    @property
    def _trained_rows(self) -> list[UpdateRow]:
        keys = {*self.trained.keys}
        return [row for row in self.rows if row.key in keys]

    @property
    def counted(self) -> int:
        """Rows of the optimizer steps that are no dummies."""
        return len(self._trained_rows)

    def stats(self, metrics: Mapping[str, Any], optimizer_steps: int) -> UpdateStats:
        """The numbers of the update."""
        own = {row.key for row in self.rows}
        lengths = dict(zip(self.trained.keys, (tag["seq_len"] for tag in self.trained.tags), strict=True))
        scored = sum(len(row.sample.token_ids) for row in self.rows) + self.padding
        return update_stats(
            metrics,
            self._trained_rows,
            padding=sum(length for key, length in lengths.items() if key not in own),
            passes=self.config.optimizer.epochs,
            steps=optimizer_steps,
            recomputed_tokens=scored * (1 + (self.config.loss.kl_coefficient > 0)),
            gap=self.gap,
            moved=self.moved,
        )


def _get(keys: Sequence[str], name: str) -> list[Tensor]:
    return list(tq.kv_batch_get(keys=list(keys), partition_id=PARTITION, select_fields=[name])[name])


def _put(keys: Sequence[str], fields: TensorDict) -> KVBatchMeta:
    return tq.kv_batch_put(keys=list(keys), partition_id=PARTITION, fields=fields)
