"""Learning rate factors: the schedule over the run, and the factor by the size of a batch."""

import math
from collections.abc import Sequence
from typing import Literal

from rekindle.types import TrainingSample

__all__ = ["learning_rate_factor", "size_factor"]


def learning_rate_factor(
    update: int,
    *,
    warmup_steps: int,
    schedule: Literal["constant", "linear", "cosine"] = "constant",
    total_updates: int | None = None,
) -> float:
    """Factor of the learning rate at one update, in [0, 1].

    The factor rises linearly to 1 at update ``warmup_steps - 1`` and then follows the schedule: constant at 1, or
    linear or half-cosine decay from 1 at update ``warmup_steps`` to 0 at ``total_updates``, one past the last update.

    Args:
        update: 0 for the first update.
        warmup_steps: Updates of the warm-up; 0 for none.
        schedule: Schedule after the warm-up.
        total_updates: Updates of the run; required by "linear" and "cosine".

    Raises:
        ValueError: A decaying schedule has no ``total_updates``.
    """
    if schedule != "constant" and total_updates is None:
        raise ValueError(f'the "{schedule}" schedule needs the number of updates; set train.steps')
    if update < warmup_steps:
        return (update + 1) / warmup_steps
    if schedule == "constant" or total_updates is None:
        return 1.0
    progress = min(1.0, (update - warmup_steps) / max(1, total_updates - warmup_steps))
    return 1.0 - progress if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))


def size_factor(samples: Sequence[TrainingSample], target: int, exponent: float) -> float:
    """Factor of the learning rate by the size of a batch: (prompts with a non-zero advantage / target) ** exponent.

    A batch with only zero advantages still makes an optimizer step (momentum); its factor is 1.

    Args:
        samples: The batch.
        target: Number of prompts planned for the step.
        exponent: Exponent of the share; with 0 the factor is always 1.
    """
    with_signal = len({one.prompt_key for one in samples if one.entropy_scale or any(one.advantages)})
    return min(1.0, with_signal / target) ** exponent or 1.0
