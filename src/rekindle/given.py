"""What a script hands to a run in place of names in its configuration.

A command cannot make these parts again. Their kinds are kept in ``run.json``, and a run goes on only with the same
kinds of parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rekindle.choices import few
from rekindle.config import Config, ConfigError

if TYPE_CHECKING:
    from rekindle.engines.engine import Engine
    from rekindle.models.policy import Policy
    from rekindle.retrieval.retriever import Retriever
    from rekindle.tasks.task_set import TaskSet
    from rekindle.types import Environment

    EngineFactory = Callable[[Config, Policy], Engine]
    """(configuration, policy) -> the engine that samples from the policy."""
    EnvironmentFactory = Callable[..., Environment]
    """(workbench, tasks, engine) -> the environment over these tasks."""

__all__ = ["FUNCTION", "NOTHING", "Given", "GivenReward", "given_tables", "named_rewards"]

FUNCTION = "given"
"""Place of a function that a script handed over: ``given:NAME``."""


@dataclass(frozen=True, slots=True)
class GivenReward:
    """A reward function that a script handed over; it runs in this process.

    Attributes:
        name: Name in metrics and samples.
        function: TRL's or verl's signature.
        weight: Factor of its values in the reward.
    """

    name: str
    function: Callable[..., Any]
    weight: float = 1.0

    @property
    def place(self) -> str:
        """``function`` of its entry in a configuration."""
        return f"{FUNCTION}:{self.name}"


def given_tables(given: Sequence[GivenReward]) -> list[dict[str, object]]:
    """Entries of ``rewards`` in a configuration, for given functions: ``{"function": "given:NAME", ...}``."""
    return [{"function": one.place, "weight": one.weight, "in_process": True} for one in given]


def named_rewards(given: object) -> list[GivenReward]:
    """Reward functions as a script gives them: one, several, (function, weight), or {name: either}.

    Raises:
        ConfigError: One of them is no function, a weight is no number, or two have the same name.
    """
    if isinstance(given, Mapping):
        return [_reward(one, str(name)) for name, one in given.items()]
    several = given if isinstance(given, list) else [given]
    found = [_reward(one, None) for one in several]
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f'two rewards have the name "{twice[0]}"; give them names: reward={{"first": ..., "second": ...}}'
        )
    return found


def _reward(one: object, name: str | None) -> GivenReward:
    function, weight = one if isinstance(one, tuple) and len(one) == 2 else (one, 1.0)
    if isinstance(function, type) or not callable(function):
        what = f"the class {function.__name__}" if isinstance(function, type) else f"a {type(function).__name__}"
        raise ConfigError(
            f"reward is {what}, and it takes a function, (function, weight), a list of these, or {{name: function}}"
        )
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
        raise ConfigError(f"the weight of a reward is {weight!r}, and it has to be a number above 0")
    return GivenReward(name or _name_of(function), function, float(weight))


def _name_of(function: Callable[..., Any]) -> str:
    inner = getattr(function, "func", function)  # of a functools.partial
    found = getattr(inner, "__name__", type(inner).__name__)
    return "reward" if found == "<lambda>" else str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Parts of a run that a script made itself.

    Attributes:
        tasks: Pool and held-out prompts; None: those of the configuration.
        environment: Makes an environment; None: that of the configuration.
        engine: Makes the engine of a policy; None: the native one.
        retrievers: Retriever by corpus, "" where there is one; empty: those of the configuration.
        rewards: Reward functions, which the configuration names as ``given:NAME``.
    """

    tasks: "TaskSet | None" = None
    environment: "EnvironmentFactory | None" = None
    engine: "EngineFactory | None" = None
    retrievers: "Mapping[str, Retriever]" = field(default_factory=dict)
    rewards: Sequence[GivenReward] = ()

    @property
    def names(self) -> list[str]:
        """Names of the parts that are given, sorted."""
        return sorted(one.name for one in fields(self) if getattr(self, one.name))

    def check_same(self, before: Sequence[str], where: str) -> None:
        """Check that a run goes on with the kinds of parts that it began with.

        Args:
            before: ``names`` of the run when it began.
            where: The run, for the message.

        Raises:
            ConfigError: A part is missing, or new.
        """
        missing = [name for name in before if name not in self.names]
        added = [name for name in self.names if name not in before]
        if missing:
            raise ConfigError(
                f"{where} was begun by a script that gave it its {few(missing)}, which no command can make again; "
                "go on with that script and resume=True"
            )
        if added:
            raise ConfigError(
                f"{where} was begun without {few(added)} of a script; leave them out, or choose another out"
            )


NOTHING = Given()
"""Everything is built from the configuration."""
