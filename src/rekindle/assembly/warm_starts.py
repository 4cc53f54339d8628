"""The tiny model's warm start: from the cache, or made once."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rekindle.assembly.bench import Workbench
from rekindle.assembly.role_lessons import role_lessons
from rekindle.assembly.search_lessons import search_lessons
from rekindle.assembly.start_profiles import start_profile
from rekindle.config import Config
from rekindle.config.rules.facts import invents_its_world, plays_itself, plays_search
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy
from rekindle.models.tiny import build_tiny
from rekindle.retrieval.protocol import Retriever
from rekindle.tasks import search_world, spell_backward
from rekindle.tasks.loading import TaskSet
from rekindle.training import warm_start
from rekindle.types import TrainingSample
from rekindle.verifiers.protocol import Verifier

__all__ = ["warm_started"]

ASKING = ("prompt", "hops", "max_turns", "max_new_tokens", "turn_tokens", "question_tokens")
CHECKING = ("prompt", "noise", "max_new_tokens", "temperature")
"""What of ``self_play`` and ``check`` the policy and its profile depend on."""

Say = Callable[[str], None]


def warm_started(
    config: Config, tasks: TaskSet, verifier: Verifier, retrievers: Mapping[str, Retriever], say: Say
) -> Path:
    """Directory of the tiny model after its warm start, from the cache when it was made before.

    Raises:
        WarmStartError: Its profile is outside what RL can use.
    """
    directory, profile = warm_start.cached(
        _key(config), lambda: _make_warm_start(config, tasks, verifier, retrievers, say)
    )
    words = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in profile.items())
    _refuse_useless(config, profile, words)
    say(f"warm start ({directory}): {words}")
    return directory


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
        raise warm_start.WarmStartError(
            f"the warm start's sampled accuracy {profile['sampled']:.2f} is outside warm_start.sampled_accuracy = "
            f"({low}, {high}) ({words}); change warm_start.steps or warm_start.seed, or widen the range"
        )
    for level, least in enumerate(config.warm_start.least_by_level, start=1):
        if profile.get(f"level_{level}", 0.0) < least:
            raise warm_start.WarmStartError(
                f"the warm start solves {profile.get(f'level_{level}', 0.0):.2f} of level {level}, less than "
                f"warm_start.least_by_level asks for ({least:g}), and RL cannot reward what never happens ({words}); "
                "raise warm_start.steps or change warm_start.seed"
            )


def _make_warm_start(
    config: Config, tasks: TaskSet, verifier: Verifier, retrievers: Mapping[str, Retriever], say: Say
) -> tuple[Policy, dict[str, float]]:
    settings = config.warm_start
    policy = _tiny(config)
    engine = TorchEngine(policy, max_rows=config.engine.max_rows)
    bench = Workbench(config, policy, engine, tasks, verifier, retrievers)
    say(f"warming up a model of {policy.parameter_count:,} parameters on noisy demonstrations, once ...")

    def on_step(step: int, loss: float) -> None:
        if step % 100 == 0 or step == settings.steps:
            say(f"  warm start: step {step} of at most {settings.steps + settings.decay_steps}, loss {loss:.2f}")

    warm_start.imitate(policy, _demonstrations(bench), settings, on_step)
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
    pairs = spell_backward.demonstrations(settings.steps * settings.batch_size, seed=settings.seed, params=params)
    return (warm_start.demonstration(bench.policy, *pair) for pair in pairs)
