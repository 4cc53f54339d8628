"""Rollouts of an update that are scored again after it, to measure how far the policy moved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rekindle.types import TrainingSample

__all__ = ["Probe"]

Score = Callable[[Sequence[TrainingSample]], Sequence[Sequence[float]]]
"""Samples -> log-probabilities of their trainable tokens under the present policy."""
_KEPT = ("token_ids", "loss_mask", "logprobs", "temperature")


@dataclass(frozen=True, slots=True)
class Probe:
    """A few rollouts of the update that is being made, with their log-probabilities before it.

    Attributes:
        rows: The rollouts; empty where nothing is measured.
    """

    rows: tuple[TrainingSample, ...] = ()

    @classmethod
    def of(cls, samples: Sequence[TrainingSample], count: int) -> "Probe":
        """At most ``count`` of the samples that are trained on, evenly spread."""
        trained = [one for one in samples if any(one.advantages)]
        stride = max(1, len(trained) // count) if count else 1
        return cls(tuple(trained[::stride][:count]))

    def moved(self, score: Score) -> float | None:
        """Mean |change of log p| per token since the rollouts were sampled, in nats; None where nothing is measured."""
        if not self.rows:
            return None
        changes = [
            abs(now - before)
            for row, after in zip(self.rows, score(self.rows), strict=True)
            for now, before in zip(after, _sampled(row), strict=True)
        ]
        return sum(changes) / len(changes) if changes else None

    def to_json(self) -> list[dict[str, Any]]:
        """The rollouts as JSON values."""
        kept = [asdict(row) for row in self.rows]
        return [{name: row[name] for name in _KEPT} for row in kept]

    @classmethod
    def from_json(cls, rows: Sequence[Mapping[str, Any]]) -> "Probe":
        """Inverse of ``to_json``."""
        return cls(tuple(TrainingSample(**row, advantages=[], weight=0.0) for row in rows))


def _sampled(row: TrainingSample) -> list[float]:
    return [value for value, trainable in zip(row.logprobs, row.loss_mask, strict=True) if trainable]
