"""Warm-start stage: the directory of the model that a run begins with."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rekindle.assembly.bench import Workbench
from rekindle.assembly.opening import workbench, workbench_of
from rekindle.config import Config
from rekindle.config.facts import plays_search
from rekindle.models.directory import is_adapter
from rekindle.models.policy import Policy
from rekindle.models.sources import Source, located
from rekindle.notices import Say
from rekindle.preflight import PolicyFiles
from rekindle.tasks.task_set import TaskSet
from rekindle.warm_starts import imitation
from rekindle.warm_starts.cache import WarmStartError, cached
from rekindle.warm_starts.embedded_tasks import embedded_task

__all__ = ["policy_directories", "start_model", "start_workbench"]


def start_model(config: Config, say: Say, tasks: TaskSet | None = None, source: Source | None = None) -> Path:
    """Directory of the model that the run begins with: ``model.path``, or a tiny model after its warm start.

    A warm start that was made before is taken from the user's cache.

    Args:
        config: The complete configuration.
        say: Shows a line before slow work.
        tasks: Tasks of the configuration, where the caller has them already.
        source: The model at ``model.path``, where the caller has found it already.

    Raises:
        ModelError: The model at ``model.path`` cannot be used.
        WarmStartError: The start profile is outside the range that the configuration allows.
    """
    if config.model.path is not None:
        source = source or located(config.model.path, config.model.revision, say)
    if source is not None:
        return source.directory()
    directory, profile = cached(_key(config), lambda: _make_warm_start(config, say, tasks))
    words = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in profile.items())
    _refuse_useless(config, profile, words)
    say(f"warm start ({directory}): {words}")
    return directory


def policy_directories(
    config: Config, files: PolicyFiles, say: Say, tasks: TaskSet | None = None
) -> tuple[Path, Path | None]:
    """Directory of a policy, or of its adapter, and the model directory below an adapter."""
    if files.saved is not None and not is_adapter(files.saved):
        return files.saved, None
    start = start_model(config, say, tasks, files.source)
    return (start, None) if files.saved is None else (files.saved, start)


def start_workbench(config: Config, say: Say = print) -> AbstractContextManager[Workbench]:
    """Workbench with the model that a run would begin with."""
    return workbench(config, start_model(config, say), say)


def _key(config: Config) -> dict[str, Any]:
    """Everything that the policy or its profile depends on."""
    key: dict[str, Any] = {
        "tiny": config.model.tiny.model_dump(),
        "warm_start": config.warm_start.model_dump(exclude={"sampled_accuracy", "least_by_level", "check_noise"}),
        "task": {"source": config.task.source, "params": config.task.params},
    }
    if plays_search(config):
        key["search"] = config.search.model_dump() | {"max_new_tokens": config.engine.max_new_tokens}
    return key | embedded_task(config).settings()


def _refuse_useless(config: Config, profile: Mapping[str, float], words: str) -> None:
    low, high = config.warm_start.sampled_accuracy
    if not low <= profile["sampled"] <= high:
        raise WarmStartError(
            f"the warm start's sampled accuracy {profile['sampled']:.2f} is outside warm_start.sampled_accuracy = "
            f"({low}, {high}) ({words}); change warm_start.steps or warm_start.seed, or widen the range"
        )
    for level, least in enumerate(config.warm_start.least_by_level, start=1):
        if profile.get(f"level_{level}", 0.0) < least:
            raise WarmStartError(
                f"the warm start solves {profile.get(f'level_{level}', 0.0):.2f} of level {level}, less than "
                f"warm_start.least_by_level asks for ({least:g}), and RL cannot reward what never happens ({words}); "
                "raise warm_start.steps or change warm_start.seed"
            )


def _of_the_task(config: Config) -> Config:
    """The configuration without rewards, audits and environment of the user, on which no start policy depends."""
    environment = "auto" if config.task.environment == "given" else config.task.environment
    task = config.task.model_copy(update={"environment": environment})
    return config.model_copy(update={"rewards": (), "audits": (), "task": task})


def _make_warm_start(config: Config, say: Say, tasks: TaskSet | None) -> tuple[Policy, dict[str, float]]:
    config = _of_the_task(config)
    settings, task = config.warm_start, embedded_task(config)
    policy = task.model()

    def on_step(step: int, loss: float) -> None:
        if step % 100 == 0 or step == settings.steps:
            say(f"  warm start: step {step} of at most {settings.steps + settings.decay_steps}, loss {loss:.2f}")

    with workbench_of(config, policy, say, tasks=tasks) as bench:
        say(f"making the start policy: {policy.parameter_count:,} parameters imitate noisy demonstrations, once ...")
        imitation.imitate(policy, task.demonstrations(bench), settings, on_step)
        say("measuring the start policy ...")
        return policy, task.profile(bench)
