"""``rekindle.train``: the command `rekindle train` from a script.

What is given is used, and the rest is built from the configuration:

    rekindle.train("models/mine", "questions.jsonl", recipe="recycle", config={"train": {"steps": 100}})
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.api.arguments import Arguments, to_stderr
from rekindle.notices import Say

if TYPE_CHECKING:
    from rekindle.api.arguments import Model, Rows, Settings
    from rekindle.config import Config
    from rekindle.given import EngineFactory
    from rekindle.observability.runs import Run
    from rekindle.retrieval.retriever import Retriever

__all__ = ["train"]


def train(
    model: "Model | None" = None,
    tasks: "str | Path | Rows | None" = None,
    *,
    reward: object | None = None,
    recipe: str | None = None,
    config: "Settings | None" = None,
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
    arguments = Arguments.of(
        model=model,
        tasks=tasks,
        reward=reward,
        recipe=recipe,
        config=config,
        held_out=held_out,
        engine=engine,
        environment=environment,
        retriever=retriever,
    )
    chosen = arguments.settings()
    directory = Path(out) if out is not None else _default_directory(chosen)
    if resume:
        chosen = arguments.settings(begun=directory)
    Session(chosen, directory, arguments.given(chosen), called, resume, say or to_stderr).run()
    return load_run(directory)


def _default_directory(config: "Config") -> Path:
    name = Path(config.model.path).name if config.model.path else config.task.source
    return Path("runs") / f"{name}-{config.recipe}-{config.train.seed}"
