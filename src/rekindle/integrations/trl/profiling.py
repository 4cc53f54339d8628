"""A pass over the prompts that all processes of TRL make together, before the first step."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from rekindle.config import Config
from rekindle.integrations.profiling import kept_profile
from rekindle.integrations.trl.sampling.rollouts import TrlRollouts
from rekindle.scheduling.profiling import Profile
from rekindle.types import GroupRequest, Rollout, Task

__all__ = ["ProfilePass"]


class ProfilePass:
    """A pass over the prompts that all processes make together; the main one keeps the journal.

    Args:
        config: The run.
        rollouts: Plays the prompts.
        parameters: Number of parameters, for FLOPs.
    """

    def __init__(self, config: Config, rollouts: TrlRollouts, *, parameters: int) -> None:
        self._config, self._rollouts, self._parameters = config, rollouts, parameters

    def make(self, tasks: Sequence[Task], directory: Path | None) -> Profile:
        """The profile of the tasks; a kept one, or one that is made now, going on where a killed pass ended.

        Args:
            tasks: The prompts.
            directory: Run directory, in which the main process keeps it; None on the other processes.
        """
        if directory is None:
            return self._follow()
        profile = kept_profile(self._config, tasks, self._play, directory, parameters=self._parameters, say=tqdm.write)
        _shared(("done", profile))
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
