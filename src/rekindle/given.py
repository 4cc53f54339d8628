"""What a script hands to a run in place of names in its configuration.

A command cannot make these parts again. Their kinds are kept in ``run.json``, and a run goes on only with the same
kinds of parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

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

__all__ = ["NOTHING", "Given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Parts of a run that a script made itself.

    Attributes:
        tasks: Pool and held-out prompts; None: those of the configuration.
        environment: Makes an environment; None: that of the configuration.
        engine: Makes the engine of a policy; None: the native one.
        retrievers: Retriever by corpus, "" where there is one; empty: those of the configuration.
    """

    tasks: "TaskSet | None" = None
    environment: "EnvironmentFactory | None" = None
    engine: "EngineFactory | None" = None
    retrievers: "Mapping[str, Retriever]" = field(default_factory=dict)

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
