"""Accuracy on held-out prompts: sampled at temperature 1, and greedy."""

from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.evaluation.pass_at_k import pass_at_k
from rekindle.types import Environment, GroupRequest, Rollout, Task

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results per prompt, in the order of the tasks.

    Attributes:
        task_ids: [prompts].
        successes: [prompts] of ``samples`` rollouts each.
        samples: Rollouts per prompt.
        texts: [prompts][samples] what the policy answered.
        failed: Prompts that could not be played; they count as never solved.
    """

    task_ids: tuple[str, ...]
    successes: tuple[int, ...]
    samples: int
    texts: tuple[tuple[str, ...], ...]
    failed: int

    @property
    def accuracy(self) -> float:
        """Mean pass@1 over prompts."""
        return self.pass_at(1)

    def pass_at(self, k: int) -> float:
        """Mean unbiased pass@k over prompts."""
        return sum(pass_at_k(self.samples, correct, k) for correct in self.successes) / len(self.successes)

    def standard_error(self, k: int = 1) -> float:
        """Standard error of ``pass_at(k)`` over prompts; 0.0 for a single prompt."""
        values = [pass_at_k(self.samples, correct, k) for correct in self.successes]
        if len(values) < 2:
            return 0.0
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        return float((variance / len(values)) ** 0.5)


def evaluate(
    environment: Environment,
    tasks: Sequence[Task],
    *,
    samples: int,
    temperature: float = 1.0,
    seed: int = 0,
    success_at: float = 0.5,
) -> Evaluation:
    """Play every task ``samples`` times. Temperature 0 is greedy, where one sample says it all."""
    requests = [
        GroupRequest(
            id=row,
            task_id=task.id,
            row=row,
            n=samples,
            temperature=temperature,
            seed=seed + row,
            version=0,
            step=0,
        )
        for row, task in enumerate(tasks)
    ]
    played: dict[int, list[Rollout] | None] = dict(environment.play(requests))
    groups = [played[request.id] or [] for request in requests]
    return Evaluation(
        task_ids=tuple(task.id for task in tasks),
        successes=tuple(sum(rollout.reward >= success_at for rollout in group) for group in groups),
        samples=samples,
        texts=tuple(tuple(rollout.text for rollout in group) for group in groups),
        failed=sum(not group for group in groups),
    )
