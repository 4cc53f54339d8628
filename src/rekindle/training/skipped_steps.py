"""Skipped optimizer steps, as files with which each can be repeated.

An optimizer step whose loss, gradient or log-probabilities are not finite is not made. What led to it is kept below the
run directory:

    skipped/update-12-1/      update 12, its first optimizer step
      model/                  the weights at that moment, or the adapter
      batch.json              the samples, and the fixed log-probabilities of the loss
      step.json               the cause, the settings, the seed, the threads and the kernels

``rekindle.repeating.repeat_step("RUN/skipped/update-12-1")`` computes loss and gradient again and says where the first
number is not finite. The last ones are kept (``records.skipped_files``).
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rekindle.models.policy import Policy
from rekindle.notices import warn
from rekindle.records.durable_files import sync_tree
from rekindle.records.skipped_files import keep_newest
from rekindle.types import TrainingSample

__all__ = ["SkippedStep", "SkippedSteps", "read_step"]

MODEL, BATCH, STEP = "model", "batch.json", "step.json"


@dataclass(frozen=True, slots=True)
class SkippedStep:
    """An optimizer step that was not made.

    Attributes:
        update: Number of the update, from 1.
        part: Number of the optimizer step in the update, from 1.
        cause: What is not finite.
        learning_rate: Learning rate of the update.
        factor: Factor of all weights of the samples.
        samples: All samples of the step.
        old: Fixed denominators of the ratio, for the trainable tokens of a sample; None: the current policy.
        reference: Log-probabilities of the reference policy, likewise; None without a KL term.
    """

    update: int
    part: int
    cause: str
    learning_rate: float
    factor: float
    samples: Sequence[TrainingSample]
    old: Sequence[Sequence[float] | None] = field(default_factory=list)
    reference: Sequence[Sequence[float] | None] = field(default_factory=list)


class SkippedSteps:
    """The directory of skipped steps.

    Args:
        directory: Its path; the first skipped step makes it.
        settings: The complete configuration, as nested tables.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self._directory, self._settings = directory, settings

    def keep(self, step: SkippedStep, policy: Policy) -> None:
        """Write a step, and warn; where it cannot be written, the warning says so, and the run goes on."""
        place = self._directory / f"update-{step.update}-{step.part}"
        try:
            self._write(place, step, policy)
            kept = f"it is kept in {place}, to be repeated with rekindle.repeating.repeat_step"
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            kept = f"it could not be kept in {place} ({error})"
        warn(f"update {step.update}: {step.cause}; the optimizer step is skipped, and {kept}")

    def _write(self, place: Path, step: SkippedStep, policy: Policy) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        policy.save(place / MODEL)
        batch = {
            "samples": [asdict(one) for one in step.samples],
            "old": step.old,
            "reference": step.reference,
        }
        (place / BATCH).write_text(json.dumps(batch, default=list), encoding="utf-8")
        numbers = {"update": step.update, "part": step.part, "cause": step.cause}
        numbers |= {"learning_rate": step.learning_rate, "factor": step.factor}
        machine = {"threads": torch.get_num_threads(), "device": str(policy.device), "torch": str(torch.__version__)}
        document = {**numbers, **machine, "kernels": policy.kernels.describe(), "config": self._settings}
        (place / STEP).write_text(json.dumps(document, indent=2, default=str), encoding="utf-8")
        sync_tree(place)
        keep_newest(self._directory)


def read_step(place: Path) -> tuple[SkippedStep, dict[str, Any]]:
    """A kept step, and the further values of its ``step.json``."""
    batch = json.loads((place / BATCH).read_text(encoding="utf-8"))
    values = json.loads((place / STEP).read_text(encoding="utf-8"))
    samples = [TrainingSample(**one) for one in batch["samples"]]
    names = ("update", "part", "cause", "learning_rate", "factor")
    step = SkippedStep(
        **{name: values[name] for name in names}, samples=samples, old=batch["old"], reference=batch["reference"]
    )
    return step, values
