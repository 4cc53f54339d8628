"""``rekindle.try_out``: the command `rekindle try` from a script."""

from typing import TYPE_CHECKING

from rekindle.api.arguments import Arguments, to_stderr
from rekindle.interrupts import Interrupts
from rekindle.notices import Say
from rekindle.types import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from rekindle.api.arguments import Model, Rows, Settings
    from rekindle.given import EngineFactory
    from rekindle.retrieval.retriever import Retriever
    from rekindle.trial import TrialResult

__all__ = ["try_out"]


def try_out(
    model: "Model | None" = None,
    tasks: "str | Path | Rows | None" = None,
    *,
    reward: object | None = None,
    recipe: str | None = None,
    config: "Settings | None" = None,
    held_out: "Rows | None" = None,
    engine: "EngineFactory | None" = None,
    environment: object | None = None,
    retriever: "Retriever | None" = None,
    measure: int = 64,
    say: Say | None = None,
) -> "TrialResult":
    """Sample a few rollouts and measure one update, before a run; nothing is written.

    ``rekindle.trial_words.trial_lines(result)`` has the lines that the command shows.

    Args:
        model: As for ``rekindle.train``; so are all arguments up to ``retriever``.
        tasks: See ``model``.
        reward: See ``model``.
        recipe: See ``model``.
        config: See ``model``.
        held_out: See ``model``.
        engine: See ``model``.
        environment: See ``model``.
        retriever: See ``model``.
        measure: Rollouts to make, at least 2.
        say: Shows a line to the user; None: on standard error.

    Returns:
        Rollouts by prompt with their texts and verdicts, wall seconds by phase, and peak memory in bytes.

    Raises:
        UserError: Something that was given cannot be used; the message has the remedy.
    """
    from rekindle.trial import Trial

    if measure < 2:
        raise UserError(f"--measure {measure} must be at least 2; use e.g. --measure 64")
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
    chosen, shown = arguments.settings(), say or to_stderr
    with Interrupts(shown):
        return Trial(chosen, arguments.given(chosen), shown, measure).run()
