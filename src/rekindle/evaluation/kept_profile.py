"""A profiling pass whose profile is kept in a file, with its progress in lines."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rekindle.config import Config
from rekindle.evaluation.passes import OnProgress, PlayGroups
from rekindle.evaluation.profile_file import save_profile
from rekindle.evaluation.profiler import profile_tasks
from rekindle.notices import Say
from rekindle.scheduling.profiling import Profile, ProfileKey
from rekindle.types import Task

__all__ = ["keep_profile", "tenths"]


def keep_profile(
    config: Config,
    tasks: Sequence[Task],
    play: PlayGroups,
    key: ProfileKey,
    out: Path,
    samples: int,
    *,
    parameters: int,
    on_progress: OnProgress,
    interrupted: Callable[[], bool] = lambda: False,
) -> Profile | None:
    """Profile tasks and write ``out``; None when interrupted. A repeated pass goes on from the journal beside it.

    Args:
        config: The run: its seed, and what counts as a success.
        tasks: The prompts.
        play: Plays them; a request's row is the index of its task.
        key: Model and settings of the profile.
        out: File of the profile.
        samples: Rollouts per prompt.
        parameters: Number of parameters, for FLOPs; 0 if unknown.
        on_progress: Called after every chunk with prompts done, prompts in all, and seconds left.
        interrupted: Called before every chunk.
    """
    partial = out.with_name(f"{out.name}.partial")
    profile = profile_tasks(
        play,
        tasks,
        samples=samples,
        key=key,
        parameters=parameters,
        partial=partial,
        seed=config.train.seed,
        success_at=config.task.success_threshold,
        on_progress=on_progress,
        interrupted=interrupted,
    )
    if profile is not None:
        save_profile(out, profile)
        partial.unlink(missing_ok=True)
    return profile


def tenths(say: Say, prompts: int, samples: int) -> OnProgress:
    """Show a line before a pass of a run, and after every tenth of its prompts."""
    say(f"profiling {prompts:,} prompts with {samples} rollouts each, once ...")
    shown = {0}

    def on_progress(done: int, total: int, left: float) -> None:
        if (tenth := 10 * done // total) not in shown:
            shown.add(tenth)
            say(f"  profile: {done:,} of {total:,} prompts, {left:.0f} s left")

    return on_progress
