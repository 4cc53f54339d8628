"""Numbers of an update that TRL makes, summed over its micro-batches and processes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rekindle.records.update_stats import UpdateStats

__all__ = ["UpdateMeter"]

CLIPPED = ("clip_ratio/region_mean", "cispo_clip_ratio")
"""TRL's metrics that are the share of clipped tokens."""


class UpdateMeter:
    """Sums of the update that is being made.

    Args:
        reduce: Tensor -> its sum over all processes.
        processes: Number of processes.

    Attributes:
        reduce: The same.
    """

    def __init__(self, reduce: Callable[[Tensor], Tensor], processes: int) -> None:
        self.reduce, self._processes = reduce, processes
        self.rate = 0.0
        """Learning rate of the last optimizer step."""
        self.begin()

    def begin(self) -> None:
        """Forget the sums; a new update begins."""
        self._losses: list[Tensor] = []
        self._gaps: list[tuple[Tensor, Tensor]] = []
        self._weighted = {"entropy": 0.0, "kl": 0.0, "clipped": 0.0}
        self._trained = self._computed = self._padded = self._recomputed = self._steps = self._skipped = 0
        self._has_kl = False

    def add(self, loss: Tensor, inputs: Mapping[str, Tensor], metrics: Mapping[str, Sequence[float]]) -> None:
        """Add a micro-batch: its loss, and the latest values of TRL's metrics, which are means over all processes."""
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        trained = inputs["completion_mask"] * inputs["tool_mask"]
        tokens = int(trained.sum())
        self._losses.append(loss.detach())
        self._trained += tokens
        self._computed += mask.numel()
        self._padded += mask.numel() - int(mask.sum())
        for name, keys in (("entropy", ("entropy",)), ("kl", ("kl",)), ("clipped", CLIPPED)):
            value = next((metrics[key][-1] for key in keys if metrics.get(key)), None)
            self._weighted[name] += tokens * (value or 0.0)
            self._has_kl = self._has_kl or (name == "kl" and value is not None)

    def add_gap(self, differences: Tensor) -> None:
        """Add log-probabilities of the trainer less those of the engine, of tokens before the first optimizer step."""
        ratios = differences.double().exp()
        self._gaps.append((differences.double().abs(), (ratios > 1.2) | (ratios < 0.8)))

    def recomputed(self, tokens: int) -> None:
        """Add tokens that went forward only, padding included."""
        self._recomputed += tokens

    def step(self, rate: float) -> None:
        """Count an optimizer step, with its learning rate."""
        self._steps += 1
        self.rate = rate

    def skip(self) -> None:
        """The optimizer step that was counted last is not made."""
        self._steps -= 1
        self._skipped += 1

    def state_dict(self) -> dict[str, Tensor]:
        """The sums of this process, for a checkpoint in the middle of an update."""
        empty = torch.zeros(0, dtype=torch.float64)
        counts = [self._trained, self._computed, self._padded, self._recomputed, self._steps, self._has_kl]
        counts.append(self._skipped)
        return {
            "losses": torch.stack(self._losses) if self._losses else torch.zeros(0),
            "gaps": torch.cat([empty, *(one.cpu() for one, _ in self._gaps)]),
            "outside": torch.cat([empty.bool(), *(one.cpu() for _, one in self._gaps)]),
            "weighted": torch.tensor(list(self._weighted.values()), dtype=torch.float64),
            "counts": torch.tensor(counts, dtype=torch.int64),
            "rate": torch.tensor(self.rate, dtype=torch.float64),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore."""
        self._losses = list(state["losses"])
        self._gaps = [(state["gaps"], state["outside"])] if len(state["gaps"]) else []
        self._weighted = dict(zip(self._weighted, state["weighted"].tolist(), strict=True))
        counts = state["counts"].tolist()
        self._trained, self._computed, self._padded, self._recomputed, self._steps, kl = counts[:6]
        self._skipped = counts[6] if len(counts) > 6 else 0  # earlier versions did not skip
        self._has_kl, self.rate = bool(kl), float(state["rate"])

    def stats(self, moved: float | None) -> UpdateStats:
        """The numbers over all processes."""
        gaps = torch.cat([one for one, _ in self._gaps]) if self._gaps else torch.zeros(0)
        outside = sum(int(one.sum()) for _, one in self._gaps)
        local = [
            float(sum(loss.double() for loss in self._losses)) if self._losses else 0.0,
            *self._weighted.values(),
            *map(float, (self._trained, self._computed, self._padded, self._recomputed, len(self._losses))),
            float(gaps.sum()),
            float(outside),
            float(gaps.numel()),
        ]
        loss, entropy, kl, clipped, *counts, gap, out, gap_tokens = self.reduce(
            torch.tensor(local, dtype=torch.float64)
        ).tolist()
        trained, computed, padded, recomputed, microbatches = map(int, counts)
        tokens = max(1, trained)
        return UpdateStats(
            loss=loss / self._processes / max(1, self._steps + self._skipped),
            entropy=entropy / tokens,
            grad_norm=None,
            lr=self.rate,
            kl=kl / tokens if self._has_kl else None,
            clip_fraction=clipped / tokens,
            trained_tokens=trained,
            computed_tokens=computed,
            padded_tokens=padded,
            recomputed_tokens=recomputed,
            microbatches=microbatches,
            optimizer_steps=self._steps,
            skipped_steps=self._skipped,
            moved=moved if moved is not None and math.isfinite(moved) else None,
            gap=gap / gap_tokens if gap_tokens else None,
            gap_outside=out / gap_tokens if gap_tokens else None,
        )


def reducer(accelerator: Any) -> Callable[[Tensor], Tensor]:
    """Sums over the processes of an accelerator."""

    def reduce(values: Tensor) -> Tensor:
        found: Tensor = accelerator.reduce(values.to(accelerator.device), reduction="sum")
        return found.cpu()

    return reduce
