"""The policy with everything that plays and judges it: what training, profiling and evaluation share."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rekindle.assembly.environments import build_environment
from rekindle.config import Config
from rekindle.engines.engine import Engine
from rekindle.evaluation.evaluator import Evaluation, evaluate
from rekindle.models.policy import Policy
from rekindle.retrieval.retriever import Retriever
from rekindle.tasks.loading import TaskSet
from rekindle.tasks.task_set import levels_of
from rekindle.types import Environment, Task
from rekindle.verifiers.verifier import Verifier

__all__ = ["EVALUATION_SEED", "Workbench", "accuracy_by_level", "announced"]

EVALUATION_SEED = 1_000_003
SAID_SECONDS = 1.0
"""An evaluation that takes so long is not made in silence."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """A policy that can be played with: what training and evaluation share."""

    config: Config
    policy: Policy
    engine: Engine
    tasks: TaskSet
    verifier: Verifier
    retrievers: Mapping[str, Retriever] = field(default_factory=dict)
    """By corpus; none where nothing is searched."""
    directory: Path | None = None
    """Where the policy's weights came from."""

    def environment(self, tasks: Sequence[Task], engine: Engine | None = None) -> Environment:
        """An environment over ``tasks`` with the policy as it is, or with another ``engine`` that speaks its tokens."""
        return build_environment(
            self.config,
            tasks,
            policy=self.policy,
            engine=engine or self.engine,
            verifier=self.verifier,
            retrievers=self.retrievers,
        )

    def evaluate(self, samples: int, temperature: float) -> Evaluation:
        """Play the held-out prompts."""
        return evaluate(
            self.environment(self.tasks.held_out),
            self.tasks.held_out,
            samples=samples,
            temperature=temperature,
            seed=EVALUATION_SEED,
            success_at=self.config.task.success_threshold,
        )

    def evaluation_metrics(self) -> dict[str, float]:
        """``eval/accuracy`` (sampled at temperature 1) and ``eval/greedy``; by level too where prompts have one.

        ``eval/failed`` where prompts could not be played: the accuracy is then too low by them.
        """
        evaluations = {
            "accuracy": self.evaluate(self.config.eval.samples, temperature=1.0),
            "greedy": self.evaluate(1, temperature=0.0),
        }
        levels = levels_of(self.tasks.held_out)
        metrics = {f"eval/{name}": evaluation.accuracy for name, evaluation in evaluations.items()}
        for name, evaluation in evaluations.items():
            metrics |= {f"level_{level}/{name}": mean for level, mean in accuracy_by_level(evaluation, levels).items()}
        if failed := max(evaluation.failed for evaluation in evaluations.values()):
            metrics["eval/failed"] = failed
        return metrics


def announced(bench: Workbench, say: Callable[[str], None]) -> Callable[[], dict[str, float]]:
    """``evaluation_metrics``, said before the first evaluation and before those after one that took a while."""
    spent = SAID_SECONDS

    def evaluate_and_say() -> dict[str, float]:
        nonlocal spent
        if spent >= SAID_SECONDS:
            say(f"evaluating {len(bench.tasks.held_out):,} prompts ...")
        began = time.monotonic()
        metrics = bench.evaluation_metrics()
        spent = time.monotonic() - began
        return metrics

    return evaluate_and_say


def accuracy_by_level(evaluation: Evaluation, levels: Sequence[int]) -> dict[int, float]:
    """Mean pass@1 of the prompts of each level; empty where prompts have none."""
    correct: dict[int, list[int]] = {}
    for level, successes in zip(levels, evaluation.successes, strict=bool(levels)):
        correct.setdefault(level, []).append(successes)
    return {level: sum(found) / (len(found) * evaluation.samples) for level, found in sorted(correct.items())}
