"""What a script hands over, as a configuration and the parts that no configuration can name."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.config import Config, ConfigError, merge, read_toml
from rekindle.config.facts import needs_answers
from rekindle.given import Given, GivenReward, given_tables, named_rewards
from rekindle.types import Task

if TYPE_CHECKING:
    from rekindle.given import EngineFactory, EnvironmentFactory
    from rekindle.models.policy import Policy
    from rekindle.retrieval.retriever import Retriever
    from rekindle.tasks.task_set import TaskSet
    from rekindle.types import Environment

    Model = str | Path | Policy | tuple[Any, Any]
    """A path, a name on the hub, a policy, or (transformers model, tokenizer)."""
    Rows = Iterable[Task | Mapping[str, Any]]
    Settings = str | Path | Mapping[str, Any] | Config
    """A TOML file, nested tables, or a complete configuration."""

__all__ = ["Arguments", "to_stderr"]


def to_stderr(text: str) -> None:
    """Show a line on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Arguments that ``train``, ``evaluate`` and ``try_out`` share; ``rekindle.train`` says what they are.

    Attributes:
        rows: Tasks that were given one by one; None: a file, or those of the configuration.
        rewards: Reward functions with their names.
    """

    model: "Model | None"
    tasks: "str | Path | Rows | None"
    reward: object | None
    recipe: str | None
    config: "Settings | None"
    held_out: "Rows | None"
    engine: "EngineFactory | None"
    environment: object | None
    retriever: "Retriever | None"

    @classmethod
    def of(cls, **arguments: Any) -> "Arguments":
        """The arguments, with rows that are read once."""
        tasks = arguments["tasks"]
        rows = None if tasks is None or isinstance(tasks, str | Path) else list(tasks)
        return cls(**{**arguments, "tasks": tasks if rows is None else rows})

    @property
    def rows(self) -> "list[Task | Mapping[str, Any]] | None":
        """Tasks that were given one by one; None: a file, or those of the configuration."""
        return self.tasks if isinstance(self.tasks, list) else None

    @property
    def rewards(self) -> list[GivenReward]:
        """Reward functions with their names.

        Raises:
            ConfigError: One of them is none, or an environment gives the reward.
        """
        found = [] if self.reward is None else named_rewards(self.reward)
        if found and self.environment is not None:
            raise ConfigError("the environment gives the reward; leave out reward, or the environment")
        return found

    def settings(self, begun: Path | None = None) -> Config:
        """The complete configuration; the run in ``begun``, if there is one, keeps its defaults.

        Raises:
            ConfigError: A setting is not valid, or contradicts an argument.
        """
        from rekindle.recipes import begun_settings, resolve

        tables = self._tables()
        if isinstance(self.config, Config):
            if tables or self.recipe:
                raise ConfigError(
                    "a complete Config takes no further model, tasks or recipe; give a file or tables instead"
                )
            return self.config
        source = Path(self.config) if isinstance(self.config, str | Path) else self.config or {}
        saved = {} if begun is None else begun_settings(begun)
        return resolve(source, self.recipe, saved=saved, given=tables)

    def given(self, config: Config, tasks: "TaskSet | None" = None) -> Given:
        """The parts that no configuration can name.

        Args:
            config: The complete configuration.
            tasks: The tasks; None: those that are divided into a pool and held-out prompts.
        """
        if tasks is None and self.rows is not None:
            tasks = _task_set(self.rows, self.held_out, config)
        return Given(
            tasks=tasks,
            environment=None if self.environment is None else _environment(self.environment),
            engine=self.engine,
            retrievers={} if self.retriever is None else {"": self.retriever},
            rewards=self.rewards,
        )

    def _tables(self) -> dict[str, Any]:
        """The settings that the arguments stand for."""
        rewards, tables = self.rewards, dict[str, Any]()
        if self.model is not None:
            tables["model"] = {"path": _model_path(self.model)}
        if self.tasks is not None:
            tables["task"] = _task_table(self.tasks)
        if self.environment is not None:
            tables = merge(tables, {"task": {"environment": "given"}})
        if self.retriever is not None:
            tables = merge(tables, {"task": {"environment": "search"}, "retriever": {"kind": "given"}})
        if rewards:
            tables["rewards"] = [*_own_rewards(self.config), *given_tables(rewards)]
        return tables


def _model_path(model: "Model") -> str:
    if isinstance(model, str | Path):
        return str(model)
    from rekindle.assembly.given_models import kept_model

    return str(kept_model(model))


def _task_table(tasks: object) -> dict[str, Any]:
    if not isinstance(tasks, str | Path):
        return {"source": "given"}
    from rekindle.tasks.loading import source_of_file

    return {"source": source_of_file(Path(tasks)), "path": str(tasks)}


def _own_rewards(config: "Settings | None") -> list[Any]:
    """The rewards that a configuration names itself."""
    values = read_toml(Path(config)) if isinstance(config, str | Path) else config
    own = values.get("rewards", []) if isinstance(values, Mapping) else []
    if not isinstance(own, list | tuple):
        raise ConfigError(f"rewards = {own!r} is no list of tables; write [[rewards]] and its keys")
    return list(own)


def _task_set(rows: "list[Task | Mapping[str, Any]]", held_out: "Rows | None", config: Config) -> "TaskSet":
    from rekindle.tasks.given import given_tasks

    kept = None if held_out is None else list(held_out)
    return given_tasks(
        rows,
        kept,
        columns=config.task.columns,
        needs_answers=needs_answers(config),
        eval_prompts=config.eval.prompts,
        pool_size=config.task.pool_size,
    )


def _environment(given: object) -> "EnvironmentFactory":
    if isinstance(given, type):
        raise ConfigError(f"environment is the class {given.__name__}; give an object of it: {given.__name__}()")
    if callable(getattr(given, "respond", None)):

        def build(*parts: Any) -> "Environment":
            from rekindle.assembly.dialogues import build_dialogue

            return build_dialogue(given, *parts)

        return build
    if not callable(given):
        raise ConfigError(
            f"environment is a {type(given).__name__} without a method respond(state, text), which answers a turn of "
            "the policy with text, or ends the conversation with a number, the reward; write one"
        )
    return given
