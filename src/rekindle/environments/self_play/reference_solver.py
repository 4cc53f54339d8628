"""Reference solver: success of the start policy on every new question, as a fixed measure of difficulty."""

from collections.abc import Mapping, Sequence

from rekindle.scheduling.seeding import mixed_seed
from rekindle.types import Environment, GroupRequest, Task, usable

__all__ = ["ReferenceSolver"]


class ReferenceSolver:
    """Measures the success rate of a policy that never changes; its rollouts are not trained on.

    Args:
        environment: Plays created tasks with the start policy.
        samples: Rollouts per question, at temperature 1.
        seed: Seed of the rollouts.
    """

    def __init__(self, environment: Environment, *, samples: int, seed: int) -> None:
        self._environment, self._samples, self._seed = environment, samples, seed

    @property
    def seconds(self) -> float:
        """Wall seconds spent playing."""
        return sum(self._environment.seconds.values())

    def score(self, rows: Sequence[int], tasks: Sequence[Task]) -> Mapping[int, float]:
        """Mean reward by row; rows that could not be played are left out."""
        requests = [
            GroupRequest(
                id=row,
                task_id=tasks[row].id,
                row=row,
                n=self._samples,
                temperature=1.0,
                seed=mixed_seed(self._seed, row),
                version=0,
                step=0,
            )
            for row in rows
        ]
        scores = {}
        for row, rollouts in self._environment.play(requests):
            if (played := usable(rollouts)) is not None:
                scores[row] = sum(one.reward for one in played) / len(played)
        return scores
