"""The stage before a run: the directory of the model that it begins with."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rekindle.assembly.bench import Workbench
from rekindle.assembly.opening import workbench, workbench_of
from rekindle.config import Config
from rekindle.config.facts import invents_its_world, plays_itself, plays_search
from rekindle.models.policy import Policy
from rekindle.tasks import search_world, spell_backward
from rekindle.tasks.task_set import TaskSet
from rekindle.types import TrainingSample
from rekindle.warm_starts import imitation, spelling
from rekindle.warm_starts.cache import WarmStartError, cached
from rekindle.warm_starts.role_lessons import role_lessons
from rekindle.warm_starts.search_lessons import search_lessons
from rekindle.warm_starts.start_profile import start_profile
from rekindle.warm_starts.tiny_model import build_tiny

__all__ = ["start_model", "start_workbench"]

ASKING = ("prompt", "hops", "max_turns", "max_new_tokens", "turn_tokens", "question_tokens")
CHECKING = ("prompt", "noise", "max_new_tokens", "temperature")
"""What of ``self_play`` and ``check`` the policy and its profile depend on."""

Say = Callable[[str], None]


def start_model(config: Config, say: Say, tasks: TaskSet | None = None) -> Path:
    """Directory of the model that the run begins with: ``model.path``, or a tiny model after its warm start.

    A warm start is taken from the user's cache when it was made before.

    Args:
        config: The run.
        say: Told what takes a while.
        tasks: Those of the configuration, where the caller has them already.

    Raises:
        WarmStartError: Its profile is outside what RL can use.
    """
    if config.model.path is not None:
        return Path(config.model.path)
    directory, profile = cached(_key(config), lambda: _make_warm_start(config, say, tasks))
    words = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in profile.items())
    _refuse_useless(config, profile, words)
    say(f"warm start ({directory}): {words}")
    return directory


def start_workbench(config: Config, say: Say = print) -> AbstractContextManager[Workbench]:
    """A workbench with the model that a run would begin with."""
    return workbench(config, start_model(config, say), say)


def _key(config: Config) -> dict[str, Any]:
    """Everything that the policy or its profile depends on."""
    key: dict[str, Any] = {
        "tiny": config.model.tiny.model_dump(),
        "warm_start": config.warm_start.model_dump(exclude={"sampled_accuracy", "least_by_level"}),
        "task": {"source": config.task.source, "params": config.task.params},
    }
    if plays_search(config):
        key["search"] = config.search.model_dump() | {"max_new_tokens": config.engine.max_new_tokens}
    if plays_itself(config):
        key["self_play"] = config.self_play.model_dump(include=set(ASKING))
        key["check"] = config.check.model_dump(include=set(CHECKING))
    return key


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


def _make_warm_start(config: Config, say: Say, tasks: TaskSet | None) -> tuple[Policy, dict[str, float]]:
    settings, policy = config.warm_start, _tiny(config)

    def on_step(step: int, loss: float) -> None:
        if step % 100 == 0 or step == settings.steps:
            say(f"  warm start: step {step} of at most {settings.steps + settings.decay_steps}, loss {loss:.2f}")

    with workbench_of(config, policy, say, tasks=tasks) as bench:
        say(f"making the start policy: {policy.parameter_count:,} parameters imitate noisy demonstrations, once ...")
        imitation.imitate(policy, _demonstrations(bench), settings, on_step)
        say("measuring the start policy ...")
        return policy, start_profile(bench)


def _tiny(config: Config) -> Policy:
    sizes, seed = config.model.tiny.model_dump(), config.warm_start.seed
    if not invents_its_world(config):
        return build_tiny(**sizes, characters=spell_backward.CHARACTERS, seed=seed)
    params = search_world.Params.read(config.task.params)
    return build_tiny(**sizes, words=search_world.vocabulary(params, self_play=plays_itself(config)), seed=seed)


def _demonstrations(bench: Workbench) -> Iterable[TrainingSample]:
    settings, params = bench.config.warm_start, bench.config.task.params
    if plays_itself(bench.config):
        return role_lessons(bench)
    if invents_its_world(bench.config):
        return search_lessons(bench)
    pairs = spelling.demonstrations(settings.steps * settings.batch_size, seed=settings.seed, params=params)
    return (imitation.demonstration(bench.policy, *pair) for pair in pairs)
