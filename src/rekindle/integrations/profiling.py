"""The profile of a run in another trainer: that of ``profile.path``, or a pass over all prompts at the start."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rekindle.config import Config
from rekindle.evaluation.kept_profile import keep_profile, tenths
from rekindle.evaluation.profile_file import check_profile, load_profile, rows_for
from rekindle.notices import Say
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.types import GroupRequest, Rollout, Task

__all__ = ["given_profile", "kept_profile"]

FILE = "profile.parquet"
VERIFIER = "reward_funcs"
"""Name of rewards that are the other trainer's."""


def given_profile(config: Config, tasks: Sequence[Task]) -> Profile | None:
    """The profile that ``profile.path`` names, in the order of the tasks; None where none is named.

    Raises:
        ProfileError: It is damaged, lacks a prompt, or was made at another temperature or length.
    """
    if config.profile.path is None:
        return None
    profile = load_profile(Path(config.profile.path))
    key = ProfileKey(profile.key.model, profile.key.verifier, config.train.temperature, config.engine.max_new_tokens)
    check_profile(profile, key, forced=config.profile.force, where=config.profile.path)
    return rows_for(profile, [task.id for task in tasks])


def kept_profile(
    config: Config,
    tasks: Sequence[Task],
    play: Callable[[Sequence[GroupRequest]], Iterator[tuple[int, list[Rollout] | None]]],
    directory: Path,
    *,
    parameters: int,
    say: Say,
) -> Profile:
    """The profile of the tasks: the kept one, or one that is made now, going on where a killed pass ended.

    Args:
        config: The run.
        tasks: The prompts.
        play: Plays requests; yields ``(request id, rollouts)`` of all of them.
        directory: Run directory, in which the profile is kept.
        parameters: Number of parameters, for FLOPs.
        say: Shows a line to the user.
    """
    key = ProfileKey(str(config.model.path), VERIFIER, config.train.temperature, config.engine.max_new_tokens)
    out, samples = directory / FILE, config.profile.samples
    if (kept := _kept(tasks, out, key, samples)) is not None:
        return kept
    progress = tenths(say, len(tasks), samples)
    profile = keep_profile(config, tasks, play, key, out, samples, parameters=parameters, on_progress=progress)
    assert profile is not None, "nothing interrupts the pass"
    return rows_for(profile, [task.id for task in tasks])


def _kept(tasks: Sequence[Task], out: Path, key: ProfileKey, samples: int) -> Profile | None:
    """The profile of an earlier start of this run; None where there is none, or it is not of these prompts."""
    try:
        profile = load_profile(out)
        check_profile(profile, key, forced=False, where=str(out))
        if set(profile.samples.tolist()) != {samples}:
            return None
        return rows_for(profile, [task.id for task in tasks])
    except ProfileError:
        return None
