"""Workbench: a policy with its engine, tasks, verifier and retrievers, for training, profiling and evaluation."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rekindle.config import Config
from rekindle.engines.engine import Engine
from rekindle.environments.building import build_environment
from rekindle.evaluation.evaluator import Evaluation, evaluate
from rekindle.given import NOTHING, Given
from rekindle.models.policy import Policy
from rekindle.notices import Say
from rekindle.retrieval.retriever import Retriever
from rekindle.tasks.loading import TaskSet
from rekindle.tasks.task_set import levels_of
from rekindle.types import Environment, GroupRequest, Rollout, Task
from rekindle.verifiers.audited import AuditedVerifier
from rekindle.verifiers.verifier import Verifier

__all__ = ["EVALUATION_SEED", "Note", "Workbench", "accuracy_by_level", "announced"]

Note = Callable[[GroupRequest, Sequence[Rollout]], None]
"""Receives a held-out prompt's request and rollouts."""
EVALUATION_SEED = 1_000_003
ANNOUNCED_SECONDS = 1.0
"""Least duration of evaluations that are announced."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """A policy with everything that is needed to play and judge tasks."""

    config: Config
    policy: Policy
    engine: Engine
    tasks: TaskSet
    verifier: Verifier
    retrievers: Mapping[str, Retriever] = field(default_factory=dict)
    """Retriever by corpus; empty where the task has no search."""
    directory: Path | None = None
    """Directory of the policy's weights."""
    given: Given = NOTHING
    """Parts that a script made itself."""

    def environment(self, tasks: Sequence[Task], engine: Engine | None = None, *, audited: bool = False) -> Environment:
        """Environment over ``tasks``, with the policy's engine or another ``engine`` with the same tokenizer.

        Audits judge their share of the rollouts, or all of them with ``audited``.
        """
        if self.given.environment is not None:
            return self.given.environment(self, tasks, engine or self.engine)
        verifier = self.verifier
        if audited and isinstance(verifier, AuditedVerifier):
            verifier = verifier.judging_all()
        return build_environment(
            self.config,
            tasks,
            chat=self.policy.chat,
            engine=engine or self.engine,
            verifier=verifier,
            retrievers=self.retrievers,
        )

    def evaluate(self, samples: int, temperature: float, note: Note = lambda request, rollouts: None) -> Evaluation:
        """Evaluate the policy on the held-out prompts; ``note`` is called with each of them."""
        return evaluate(
            self.environment(self.tasks.held_out, audited=True),
            self.tasks.held_out,
            samples=samples,
            temperature=temperature,
            seed=EVALUATION_SEED,
            success_at=self.config.task.success_threshold,
            note=note,
        )

    def evaluation_metrics(self, note: Note = lambda request, rollouts: None) -> dict[str, float]:
        """``eval/accuracy`` (sampled at temperature 1) and ``eval/greedy``; also by level where prompts have levels.

        With reward functions, whose values need no threshold, also ``eval/reward`` and ``eval/greedy_reward``.
        Audits give ``eval/audit/NAME`` and ``eval/greedy_audit/NAME``.
        ``eval/failed`` is set where prompts could not be played; they count as never solved.
        """
        evaluations = {
            "accuracy": self.evaluate(self.config.eval.samples, 1.0, note),
            "greedy": self.evaluate(1, 0.0, note),
        }
        levels = levels_of(self.tasks.held_out)
        metrics = {f"eval/{name}": evaluation.accuracy for name, evaluation in evaluations.items()}
        for name, evaluation in evaluations.items():
            metrics |= {f"level_{level}/{name}": mean for level, mean in accuracy_by_level(evaluation, levels).items()}
        if self.config.rewards:
            means = {"eval/reward": evaluations["accuracy"].reward, "eval/greedy_reward": evaluations["greedy"].reward}
            metrics |= {name: mean for name, mean in means.items() if mean is not None}
        for prefix, evaluation in (
            ("eval/audit", evaluations["accuracy"]),
            ("eval/greedy_audit", evaluations["greedy"]),
        ):
            metrics |= {f"{prefix}/{name}": mean for name, mean in evaluation.audits.items()}
        if failed := max(evaluation.failed for evaluation in evaluations.values()):
            metrics["eval/failed"] = failed
        return metrics


def announced(
    bench: Workbench, say: Say, note: Note = lambda request, rollouts: None
) -> Callable[[], dict[str, float]]:
    """``evaluation_metrics``, announced before the first evaluation and after each one that took at least a second."""
    spent = ANNOUNCED_SECONDS

    def evaluate_and_say() -> dict[str, float]:
        nonlocal spent
        if spent >= ANNOUNCED_SECONDS:
            say(f"evaluating {len(bench.tasks.held_out):,} prompts ...")
        began = time.monotonic()
        metrics = bench.evaluation_metrics(note)
        spent = time.monotonic() - began
        return metrics

    return evaluate_and_say


def accuracy_by_level(evaluation: Evaluation, levels: Sequence[int]) -> dict[int, float]:
    """Mean pass@1 of the prompts of each level; empty where prompts have no levels."""
    correct: dict[int, list[int]] = {}
    for level, successes in zip(levels, evaluation.successes, strict=bool(levels)):
        correct.setdefault(level, []).append(successes)
    return {level: sum(found) / (len(found) * evaluation.samples) for level, found in sorted(correct.items())}
