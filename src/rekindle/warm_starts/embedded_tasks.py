"""Embedded tasks: the tiny model, the demonstrations and the start profile of each task with a warm start."""

from collections.abc import Iterable
from typing import Any, Protocol

from rekindle.assembly.bench import Workbench
from rekindle.config import Config
from rekindle.config.facts import demonstrated_noise, invents_its_world, plays_itself
from rekindle.models.policy import Policy
from rekindle.tasks import search_world, spell_backward
from rekindle.types import TrainingSample
from rekindle.warm_starts import imitation, spelling
from rekindle.warm_starts.role_lessons import role_lessons
from rekindle.warm_starts.search_lessons import search_lessons
from rekindle.warm_starts.start_profile import PROMPTS, proposing_and_verifying, solving
from rekindle.warm_starts.tiny_model import build_tiny

__all__ = ["EmbeddedTask", "embedded_task"]

ASKING = ("prompt", "hops", "max_turns", "max_new_tokens", "turn_tokens", "question_tokens")
CHECKING = ("prompt", "noise", "max_new_tokens", "temperature")
"""Keys of ``self_play`` and ``check`` that the policy and its profile depend on."""


class EmbeddedTask(Protocol):
    """The parts of a task's warm start."""

    def settings(self) -> dict[str, Any]:
        """Settings that the policy or its profile depends on, besides those of every task."""
        ...

    def model(self) -> Policy:
        """The tiny model before its warm start."""
        ...

    def demonstrations(self, bench: Workbench) -> Iterable[TrainingSample]:
        """Demonstrations that the model imitates."""
        ...

    def profile(self, bench: Workbench) -> dict[str, float]:
        """Success rates of the policy after its warm start, measured without held-out prompts."""
        ...


def embedded_task(config: Config) -> EmbeddedTask:
    """The embedded task of a configuration."""
    if plays_itself(config):
        return SelfPlay(config)
    return SearchWorld(config) if invents_its_world(config) else SpellBackward(config)


class SpellBackward:
    """Words to spell backward.

    Args:
        config: The complete configuration.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def settings(self) -> dict[str, Any]:
        """None."""
        return {}

    def model(self) -> Policy:
        """A model with one token per character."""
        sizes, seed = self._config.model.tiny.model_dump(), self._config.warm_start.seed
        return build_tiny(**sizes, characters=spell_backward.CHARACTERS, seed=seed)

    def demonstrations(self, bench: Workbench) -> Iterable[TrainingSample]:
        """Words and their reversed spelling, partly wrong."""
        settings, params = self._config.warm_start, self._config.task.params
        pairs = spelling.demonstrations(settings.steps * settings.batch_size, seed=settings.seed, params=params)
        return (imitation.demonstration(bench.policy, *pair) for pair in pairs)

    def profile(self, bench: Workbench) -> dict[str, float]:
        """Success rates of the solver on prompts of the pool."""
        return solving(bench, bench.tasks.pool[:PROMPTS])


class SearchWorld:
    """Questions about the embedded search world.

    Args:
        config: The complete configuration.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def settings(self) -> dict[str, Any]:
        """None."""
        return {}

    def model(self) -> Policy:
        """A model with one token per word."""
        return _model_of_words(self._config, self_play=False)

    def demonstrations(self, bench: Workbench) -> Iterable[TrainingSample]:
        """Demonstrations of the solver's teacher."""
        return search_lessons(bench)

    def profile(self, bench: Workbench) -> dict[str, float]:
        """Success rates of the solver on prompts of the pool."""
        return solving(bench, bench.tasks.pool[:PROMPTS])


class SelfPlay:
    """Self-play in the embedded search world.

    Args:
        config: The complete configuration.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def settings(self) -> dict[str, Any]:
        """Settings of the prompts and limits of proposer and verifier."""
        checking = self._config.check.model_dump(include=set(CHECKING))
        return {
            "self_play": self._config.self_play.model_dump(include=set(ASKING)),
            "check": checking | {"noise": demonstrated_noise(self._config)},
        }

    def model(self) -> Policy:
        """A model with one token per word, the words of proposer and verifier included."""
        return _model_of_words(self._config, self_play=True)

    def demonstrations(self, bench: Workbench) -> Iterable[TrainingSample]:
        """Demonstrations of the teachers of all three roles."""
        return role_lessons(bench)

    def profile(self, bench: Workbench) -> dict[str, float]:
        """Success rates of all three roles.

        The pool has no prompts, only answers. The solver is measured on questions about the pool's world, made in the
        same way as the held-out questions about theirs; it is not trained on them.
        """
        params = search_world.Params.read(self._config.task.params)
        questions = search_world.distinct_questions(params, "pool", PROMPTS, self._config.warm_start.seed)
        return {**solving(bench, questions), **proposing_and_verifying(bench, params)}


def _model_of_words(config: Config, *, self_play: bool) -> Policy:
    params = search_world.Params.read(config.task.params)
    words = search_world.vocabulary(params, self_play=self_play)
    return build_tiny(**config.model.tiny.model_dump(), words=words, seed=config.warm_start.seed)
