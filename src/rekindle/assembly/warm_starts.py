"""The tiny model's warm start: from the cache, or made once."""

from collections.abc import Callable
from pathlib import Path

from rekindle.assembly.bench import EVALUATION_SEED, Workbench
from rekindle.config import Config
from rekindle.engines.torch_engine import TorchEngine
from rekindle.evaluation.evaluator import evaluate
from rekindle.models.policy import Policy
from rekindle.models.tiny import build_tiny
from rekindle.tasks import spell_backward
from rekindle.tasks.loading import TaskSet
from rekindle.training import warm_start
from rekindle.types import Outcome, outcome_of
from rekindle.verifiers.protocol import Verifier

__all__ = ["warm_started"]

PROFILE_PROMPTS, PROFILE_SAMPLES = 256, 4


def warm_started(config: Config, tasks: TaskSet, verifier: Verifier, say: Callable[[str], None]) -> Path:
    """Directory of the tiny model after its warm start, from the cache when it was made before.

    Raises:
        WarmStartError: Its profile is outside what RL can use.
    """
    key = {
        "tiny": config.model.tiny.model_dump(),
        "warm_start": config.warm_start.model_dump(exclude={"sampled_accuracy"}),
    }
    key |= {"task": {"source": config.task.source, "params": config.task.params}}
    directory, profile = warm_start.cached(key, lambda: _make_warm_start(config, tasks, verifier, say))
    low, high = config.warm_start.sampled_accuracy
    words = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in profile.items())
    if not low <= profile["sampled"] <= high:
        raise warm_start.WarmStartError(
            f"the warm start's sampled accuracy {profile['sampled']:.2f} is outside warm_start.sampled_accuracy = "
            f"({low}, {high}) ({words}); change warm_start.steps or warm_start.seed, or widen the range"
        )
    say(f"warm start ({directory}): {words}")
    return directory


def _make_warm_start(
    config: Config, tasks: TaskSet, verifier: Verifier, say: Callable[[str], None]
) -> tuple[Policy, dict[str, float]]:
    settings = config.warm_start
    policy = build_tiny(**config.model.tiny.model_dump(), characters=spell_backward.CHARACTERS, seed=settings.seed)
    count = settings.steps * settings.batch_size
    demonstrations = spell_backward.demonstrations(count, seed=settings.seed, params=config.task.params)
    say(f"warming up a model of {policy.parameter_count:,} parameters on {count:,} noisy demonstrations, once ...")

    def on_step(step: int, loss: float) -> None:
        if step % 100 == 0 or step == settings.steps:
            say(f"  warm start: step {step} of {settings.steps}, loss {loss:.2f}")

    warm_start.imitate(policy, demonstrations, settings, on_step)
    return policy, _profile(
        Workbench(config, policy, TorchEngine(policy, max_rows=config.engine.max_rows), tasks, verifier)
    )


def _profile(bench: Workbench) -> dict[str, float]:
    """Pass rates and shares of unanimous groups, on prompts of the pool: held-out prompts decide nothing."""
    tasks = bench.tasks.pool[:PROFILE_PROMPTS]
    environment = bench.environment(tasks)
    sampled = evaluate(environment, tasks, samples=PROFILE_SAMPLES, seed=EVALUATION_SEED)
    greedy = evaluate(environment, tasks, samples=1, temperature=0.0)
    outcomes = [outcome_of([1.0] * correct + [0.0] * (PROFILE_SAMPLES - correct)) for correct in sampled.successes]
    return {
        "sampled": sampled.accuracy,
        "greedy": greedy.accuracy,
        "all_correct": outcomes.count(Outcome.ALL_CORRECT) / len(outcomes),
        "all_wrong": outcomes.count(Outcome.ALL_WRONG) / len(outcomes),
    }
