"""Which answers are to be asked for in a step, and how many hops are wished for."""

from collections.abc import Sequence

import numpy as np

from rekindle.types import Task

__all__ = ["Seeds"]


class Seeds:
    """Draws seeds; a draw follows from (seed, step, round) alone, so there is nothing to save.

    Hops are wished for evenly from 1 to the most of the step, which rises from 1 to ``hops`` in ``warmup_steps`` steps.

    Args:
        tasks: A known answer each, and where to search.
        hops: Most hops ever wished for.
        warmup_steps: Length of the curriculum; 0: all hops from the first step on.
        seed: Of the draws.
    """

    def __init__(self, tasks: Sequence[Task], *, hops: int, warmup_steps: int = 0, seed: int = 0) -> None:
        self.tasks = tasks
        self._hops, self._warmup, self._seed = hops, warmup_steps, seed

    def most_hops(self, step: int) -> int:
        """Most hops wished for in a step, from 1."""
        if step > self._warmup:
            return self._hops
        return 1 + (step - 1) * self._hops // self._warmup

    def draw(self, step: int, round_number: int, count: int) -> list[tuple[int, int]]:
        """``count`` pairs of (index of a seed, wished hops); no seed comes twice before each has come once."""
        rng = np.random.default_rng((self._seed, step, round_number, 2))
        passes = [rng.permutation(len(self.tasks)) for _ in range(-(-count // len(self.tasks)))]
        rows = np.concatenate(passes)[:count].tolist()
        hops = rng.integers(1, self.most_hops(step), size=count, endpoint=True).tolist()
        return list(zip(rows, hops, strict=True))
