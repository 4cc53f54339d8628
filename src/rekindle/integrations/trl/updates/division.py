"""Division of one update's rows: into optimizer steps, and each of these into the micro-batches of the processes.

Every process computes the same division from the same samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from rekindle.types import TrainingSample, UserError

__all__ = ["Division", "OptimizerStep", "Part", "divide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How TRL divides what it has generated.

    Attributes:
        processes: Number of processes.
        micro_batches: Micro-batches of a process per generation, TRL's ``steps_per_generation``.
        accumulation: Micro-batches of a process per optimizer step, TRL's ``gradient_accumulation_steps``.

    Raises:
        UserError: Neither of the two numbers is a multiple of the other.
    """

    processes: int
    micro_batches: int
    accumulation: int

    def __post_init__(self) -> None:
        if self.micro_batches % self.accumulation and self.accumulation % self.micro_batches:
            raise UserError(
                f"steps_per_generation = {self.micro_batches} and gradient_accumulation_steps = {self.accumulation}: "
                "optimizer steps would begin inside a generation and end in the next; make one a multiple of the other"
            )

    @property
    def per_step(self) -> int:
        """Micro-batches of a process that are of one generation and one optimizer step."""
        return min(self.micro_batches, self.accumulation)

    @property
    def steps(self) -> int:
        """Optimizer steps per generation; 1 where an optimizer step has several generations."""
        return self.micro_batches // self.per_step


@dataclass(slots=True)
class Part:
    """One micro-batch of one process.

    Attributes:
        computed: Indices of the rows that go through the model.
        left_out: Indices of rows that count in denominators only.
    """

    computed: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)

    @property
    def rows(self) -> list[int]:
        """All rows."""
        return self.computed + self.left_out


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """The rows of an optimizer step.

    Attributes:
        rows: Indices of all rows.
        parts: By number of the micro-batch and then by process.
    """

    rows: list[int]
    parts: list[list[Part]]


def divide(
    samples: Sequence[TrainingSample], division: Division, seed: Sequence[int], left_out: Sequence[bool]
) -> list[OptimizerStep]:
    """Divide the rows of an update.

    With several optimizer steps, the groups are shuffled and dealt to the steps so that these have equally many rows,
    up to one; a group at a border is divided. Where samples have sides (C-RF), the steps have whole groups instead.
    Within a step, rows go to the micro-batch with the fewest tokens, longest first. A micro-batch has at most
    ceil(rows of the step / micro-batches of the step) rows, those that are left out counted.

    Args:
        samples: All samples of the update.
        division: Numbers of processes, micro-batches and optimizer steps.
        seed: Non-negative integers, the seed of the division into optimizer steps.
        left_out: [R] whether a row does not go through the model.
    """
    return [
        OptimizerStep(rows, _parts(samples, rows, division, left_out)) for rows in _dealt(samples, division.steps, seed)
    ]


def _dealt(samples: Sequence[TrainingSample], steps: int, seed: Sequence[int]) -> list[list[int]]:
    """Rows of each optimizer step."""
    if steps == 1:
        return [list(range(len(samples)))]
    groups: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(sample.prompt_key, []).append(index)
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members))
    rows = [row for group in order for row in members[group]]
    cuts = [len(rows) * step // steps for step in range(steps + 1)]
    if any(sample.side for sample in samples):
        borders = np.cumsum([0, *(len(members[group]) for group in order)])
        cuts = [int(min(borders, key=lambda border: (abs(border - cut), border))) for cut in cuts]
    return [sorted(rows[start:stop]) for start, stop in pairwise(cuts)]


def _parts(
    samples: Sequence[TrainingSample], rows: Sequence[int], division: Division, left_out: Sequence[bool]
) -> list[list[Part]]:
    """The micro-batches of an optimizer step, those with most tokens first."""
    count = division.per_step * division.processes
    most = math.ceil(len(rows) / count)
    parts, tokens = [Part() for _ in range(count)], [0] * count
    for row in sorted((row for row in rows if not left_out[row]), key=lambda row: -len(samples[row].token_ids)):
        free = [number for number in range(count) if len(parts[number].computed) < most]
        lightest = min(free, key=lambda number: (tokens[number], len(parts[number].computed)))
        parts[lightest].computed.append(row)
        tokens[lightest] += len(samples[row].token_ids)
    for row in (row for row in rows if left_out[row]):
        min(parts, key=lambda part: len(part.rows)).left_out.append(row)
    heaviest = sorted(range(count), key=lambda number: -tokens[number])
    return [
        _turn(number, [parts[index] for index in chunk]) for number, chunk in enumerate(_chunks(heaviest, division))
    ]


def _chunks(numbers: Sequence[int], division: Division) -> list[Sequence[int]]:
    return [numbers[start : start + division.processes] for start in range(0, len(numbers), division.processes)]


def _turn(number: int, parts: list[Part]) -> list[Part]:
    """Every other micro-batch goes to the processes in the opposite order, so that their sums of tokens are alike."""
    return parts[::-1] if number % 2 else parts
