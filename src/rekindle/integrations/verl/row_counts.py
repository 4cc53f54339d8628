"""How many rows a batch of verl has: divisible over processes, optimizer steps and micro-batches."""

import math
from collections.abc import Sequence

from rekindle.types import TrainingSample

__all__ = ["TOKENS", "has_gradient", "missing_rows", "round_of"]

TOKENS = 2
"""Tokens of a dummy row: one of a prompt, one of a response."""


def round_of(processes: int, optimizer_steps: int, trained: int | None, scored: Sequence[int]) -> int:
    """Rows of which a batch is a multiple.

    Args:
        processes: Data-parallel processes.
        optimizer_steps: Optimizer steps of a batch.
        trained: Rows of a micro-batch of the update; None where micro-batches have as many as fit.
        scored: Rows of a micro-batch of each pass without gradient whose micro-batches have a fixed number.
    """
    return processes * math.lcm(optimizer_steps * (trained or 1), *scored)


def missing_rows(rows: int, multiple: int) -> int:
    """Dummy rows that a batch needs."""
    return -rows % multiple


def has_gradient(sample: TrainingSample) -> bool:
    """Whether the policy-gradient loss of a sample has a gradient."""
    return bool(sample.entropy_scale) or any(sample.advantages)
