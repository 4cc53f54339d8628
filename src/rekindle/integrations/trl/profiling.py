"""The profile of a run in TRL: that of ``profile.path``, or a pass over the prompts before the first step."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from rekindle.config import Config
from rekindle.evaluation.kept_profile import keep_profile, tenths
from rekindle.evaluation.profile_file import check_profile, load_profile, rows_for
from rekindle.integrations.trl.sampling.rollouts import TrlRollouts
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.types import GroupRequest, Rollout, Task

__all__ = ["ProfilePass", "given_profile"]


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


class ProfilePass:
    """A pass over the prompts that all processes make together; the main one keeps the journal.

    Args:
        config: The run.
        rollouts: Plays the prompts.
        model: Name of the model.
        parameters: Number of parameters, for FLOPs.
    """

    def __init__(self, config: Config, rollouts: TrlRollouts, *, model: str, parameters: int) -> None:
        self._config, self._rollouts, self._model, self._parameters = config, rollouts, model, parameters

    def make(self, tasks: Sequence[Task], directory: Path | None) -> Profile:
        """The profile of the tasks; a kept one, or one that is made now, going on where a killed pass ended.

        Args:
            tasks: The prompts.
            directory: Run directory, in which the main process keeps it; None on the other processes.
        """
        if directory is None:
            return self._follow()
        out = directory / "profile.parquet"
        profile = self._kept(tasks, out) or rows_for(self._lead(tasks, out), [task.id for task in tasks])
        _shared(("done", profile))
        return profile

    def _kept(self, tasks: Sequence[Task], out: Path) -> Profile | None:
        """The profile of an earlier start of this run; None where there is none, or it is not of these prompts."""
        try:
            profile = load_profile(out)
            check_profile(profile, self._key, forced=False, where=str(out))
            if set(profile.samples.tolist()) != {self._config.profile.samples}:
                return None
            return rows_for(profile, [task.id for task in tasks])
        except ProfileError:
            return None

    @property
    def _key(self) -> ProfileKey:
        config = self._config
        return ProfileKey(self._model, "reward_funcs", config.train.temperature, config.engine.max_new_tokens)

    def _lead(self, tasks: Sequence[Task], out: Path) -> Profile:
        samples = self._config.profile.samples
        profile = keep_profile(
            self._config,
            tasks,
            self._play,
            self._key,
            out,
            samples,
            parameters=self._parameters,
            on_progress=tenths(tqdm.write, len(tasks), samples),
        )
        assert profile is not None, "nothing interrupts the pass"
        return profile

    def _play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        _shared(("play", list(requests)))
        yield from self._rollouts.play(requests)
        self._rollouts.forget()

    def _follow(self) -> Profile:
        """Play what the main process asks for, until it has the profile."""
        while True:
            what, value = _shared(None)
            if what == "done":
                found: Profile = value
                return found
            for _ in self._rollouts.play(value):
                pass
            self._rollouts.forget()


def _shared(value: Any) -> Any:
    """The value of the main process, on every process."""
    found = [value]
    broadcast_object_list(found, from_process=0)
    return found[0]
