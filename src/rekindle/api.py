"""``rekindle.train``: the door for scripts. The command line is its first caller.

What is given is used, and the rest is built from the configuration:

    rekindle.train("models/mine", "questions.jsonl", recipe="recycle", config={"train": {"steps": 100}})
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.config import Config, ConfigError, merge, read_toml
from rekindle.config.facts import needs_answers
from rekindle.given import Given, given_tables, named_rewards
from rekindle.notices import Say
from rekindle.types import Task

if TYPE_CHECKING:
    from rekindle.given import EngineFactory, EnvironmentFactory
    from rekindle.models.policy import Policy
    from rekindle.observability.runs import Run
    from rekindle.retrieval.retriever import Retriever
    from rekindle.tasks.task_set import TaskSet
    from rekindle.types import Environment

    Model = str | Path | Policy | tuple[Any, Any]
    """A path, a name on the hub, a policy, or (transformers model, tokenizer)."""
    Rows = Iterable[Task | Mapping[str, Any]]

__all__ = ["train"]


def train(
    model: "Model | None" = None,
    tasks: "str | Path | Rows | None" = None,
    *,
    reward: object | None = None,
    recipe: str | None = None,
    config: str | Path | Mapping[str, Any] | Config | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    held_out: "Rows | None" = None,
    engine: "EngineFactory | None" = None,
    environment: object | None = None,
    retriever: "Retriever | None" = None,
    callbacks: Sequence[object] = (),
    say: Say | None = None,
) -> "Run":
    """Train a policy, and return the files of the run.

    Run directory, report, exact resume and endings are those of the command. Ctrl-C lets the step finish.

    Args:
        model: Directory, name on the hub, GGUF file, policy, or (transformers model, tokenizer); None: that of
            ``config``. A policy that is given is copied, and its weights stay as they are.
        tasks: File of tasks; or rows, each a mapping with ``prompt`` and ``answer`` or a ``Task``; None: those of
            ``config``.
        reward: A function with the signature of TRL's or verl's reward functions, (function, weight), a list of these,
            or {name: either}; beside those of ``config``. It runs in this process.
        recipe: Name of a recipe; None: that of ``config``, or grpo.
        config: TOML file, or nested tables such as ``{"train": {"steps": 100}}``; the other arguments take precedence.
        out: Run directory; None: ``runs/MODEL-RECIPE-SEED``.
        resume: Go on from the last checkpoint of ``out``, or start there.
        held_out: Rows to evaluate on; None: some of ``tasks``.
        engine: (configuration, policy) -> the engine that samples; None: the native one.
        environment: Object whose ``respond(state, text)`` answers the policy's turns; or (workbench, tasks, engine) ->
            the environment that plays the tasks (`rekindle.environments.dialogue`).
        retriever: Searches the corpus of a search agent.
        callbacks: Objects with ``on_step``, ``on_evaluation`` or ``on_checkpoint`` (`rekindle.training.callbacks`).
        say: Shows a line to the user; None: on standard error.

    Raises:
        UserError: Something that was given cannot be used; the message has the remedy.
    """
    from rekindle.observability.runs import load_run
    from rekindle.session import Session
    from rekindle.training.callbacks import Callbacks

    called = Callbacks(callbacks)
    rows = None if tasks is None or isinstance(tasks, str | Path) else list(tasks)
    rewards = [] if reward is None else named_rewards(reward)
    if rewards and environment is not None:
        raise ConfigError("the environment gives the reward; leave out reward, or the environment")
    tables = _tables(
        model,
        tasks if rows is None else rows,
        environment=environment is not None,
        retriever=retriever is not None,
    )
    if rewards:
        tables["rewards"] = [*_own_rewards(config), *given_tables(rewards)]
    chosen = _settings(config, tables, recipe)
    directory = Path(out) if out is not None else _default_directory(chosen)
    if resume:
        chosen = _settings(config, tables, recipe, begun=directory)
    given = Given(
        tasks=None if rows is None else _task_set(rows, held_out, chosen),
        environment=None if environment is None else _environment(environment),
        engine=engine,
        retrievers={} if retriever is None else {"": retriever},
        rewards=rewards,
    )
    Session(chosen, directory, given, called, resume, say or _to_stderr).run()
    return load_run(directory)


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _tables(model: "Model | None", tasks: object, *, environment: bool, retriever: bool) -> dict[str, Any]:
    """The settings that the arguments stand for."""
    tables: dict[str, Any] = {}
    if model is not None:
        tables["model"] = {"path": _model_path(model)}
    if tasks is not None:
        tables["task"] = _task_table(tasks)
    if environment:
        tables = merge(tables, {"task": {"environment": "given"}})
    if retriever:
        tables = merge(tables, {"task": {"environment": "search"}, "retriever": {"kind": "given"}})
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


def _own_rewards(config: "str | Path | Mapping[str, Any] | Config | None") -> list[Any]:
    """The rewards that a configuration names itself."""
    values = read_toml(Path(config)) if isinstance(config, str | Path) else config
    own = values.get("rewards", []) if isinstance(values, Mapping) else []
    if not isinstance(own, list | tuple):
        raise ConfigError(f"rewards = {own!r} is no list of tables; write [[rewards]] and its keys")
    return list(own)


def _settings(
    config: "str | Path | Mapping[str, Any] | Config | None",
    tables: Mapping[str, Any],
    recipe: str | None,
    begun: Path | None = None,
) -> Config:
    """The complete configuration; the run in ``begun``, if there is one, keeps its defaults."""
    from rekindle.recipes import begun_settings, resolve

    if isinstance(config, Config):
        if tables or recipe:
            raise ConfigError(
                "a complete Config takes no further model, tasks or recipe; give a file or tables instead"
            )
        return config
    source = Path(config) if isinstance(config, str | Path) else config or {}
    return resolve(source, recipe, saved={} if begun is None else begun_settings(begun), given=tables)


def _task_set(rows: "Sequence[Task | Mapping[str, Any]]", held_out: "Rows | None", config: Config) -> "TaskSet":
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


def _default_directory(config: Config) -> Path:
    name = Path(config.model.path).name if config.model.path else config.task.source
    return Path("runs") / f"{name}-{config.recipe}-{config.train.seed}"
