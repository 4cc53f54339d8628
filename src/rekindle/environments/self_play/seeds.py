"""Seeds of a step: the answers that questions are written for, and the wished number of hops."""

from collections.abc import Sequence

import numpy as np

from rekindle.types import Task

__all__ = ["Seeds"]


class Seeds:
    """Draws seeds; a draw depends on (seed, step, round) alone, so there is no state to save.

    Wished hops are uniform from 1 to the maximum of the step, which rises from 1 to ``hops`` in ``warmup_steps`` steps.

    Args:
        tasks: The seeds: a known answer and the corpus to search.
        hops: Most hops of the whole run.
        warmup_steps: Length of the curriculum; 0: all hops from the first step on.
        seed: Seed of the draws.
    """

    def __init__(self, tasks: Sequence[Task], *, hops: int, warmup_steps: int = 0, seed: int = 0) -> None:
        self.tasks = tasks
        self._hops, self._warmup, self._seed = hops, warmup_steps, seed

    def most_hops(self, step: int) -> int:
        """Most hops of a step, counted from 1."""
        if step > self._warmup:
            return self._hops
        return 1 + (step - 1) * self._hops // self._warmup

    def draw(self, step: int, round_number: int, count: int) -> list[tuple[int, int]]:
        """``count`` pairs of (index of a seed, wished hops); every seed is drawn once before any is drawn again."""
        rng = np.random.default_rng((self._seed, step, round_number, 2))
        passes = [rng.permutation(len(self.tasks)) for _ in range(-(-count // len(self.tasks)))]
        rows = np.concatenate(passes)[:count].tolist()
        hops = rng.integers(1, self.most_hops(step), size=count, endpoint=True).tolist()
        return list(zip(rows, hops, strict=True))
