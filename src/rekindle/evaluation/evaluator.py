"""Evaluation during training: accuracy on held-out prompts, sampled at temperature 1 and greedy, in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rekindle.evaluation.measures import solved
from rekindle.evaluation.pass_at_k import pass_at_k
from rekindle.evaluation.records import Record
from rekindle.types import Environment, GroupRequest, Rollout, Task

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results per prompt, in the order of the tasks.

    Attributes:
        successes: [prompts] successful rollouts of ``samples`` each; 0 where the prompt could not be played.
        samples: Rollouts per prompt.
        failed: Prompts that could not be played or have void rollouts; they count as never solved.
        reward: Mean reward of the rollouts of all other prompts; None without any.
        audits: Mean score of each audit by name, over the rollouts with a verdict.
    """

    successes: tuple[int, ...]
    samples: int
    failed: int = 0
    reward: float | None = None
    audits: Mapping[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """Mean pass@1 over prompts."""
        return sum(pass_at_k(self.samples, correct, 1) for correct in self.successes) / len(self.successes)


def evaluate(
    environment: Environment,
    tasks: Sequence[Task],
    *,
    samples: int,
    temperature: float = 1.0,
    seed: int = 0,
    success_at: float = 0.5,
    note: Callable[[GroupRequest, Sequence[Rollout]], None] = lambda request, rollouts: None,
) -> Evaluation:
    """Play every task ``samples`` times. Temperature 0 is greedy; one sample is then enough.

    ``note`` is called with every task that could be played, in order, and its rollouts.
    """
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
    for request in requests:
        note(request, played[request.id] or ())
    records = [Record.of(played[request.id]) for request in requests]
    successes = tuple(sum(solved(record, samples, success_at)) for record in records)
    rewards = [answer.reward for record in records if not record.void for answer in record.answers]
    mean = sum(rewards) / len(rewards) if rewards else None
    return Evaluation(
        successes, samples, failed=sum(record.void for record in records), reward=mean, audits=_audits(played.values())
    )


def _audits(played: Iterable[Sequence[Rollout] | None]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for one in (one for rollouts in played for one in rollouts or ()):
        for name, score in one.audits.items():
            if score is not None:
                scores.setdefault(name, []).append(score)
    return {name: sum(found) / len(found) for name, found in sorted(scores.items())}
