"""The journal of a profiling pass: one line per finished prompt.

    {"rekindle_profile": 1, "samples": 8, "seed": 0, ...}
    {"row": 0, "successes": 3, "generated_tokens": 61, "prompt_tokens": 7}
    {"row": 1, "failed": true}

A later line of a prompt replaces an earlier one.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rekindle.evaluation.journal import Journal, JournalKind, open_journal
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.types import Rollout, usable

__all__ = ["ProfileJournal", "open_profile_journal"]

KIND = JournalKind(
    mark="rekindle_profile",
    format=1,
    noun="unfinished profile",
    doing="profiling into",
    start_over="delete the file to start the profile over",
    error=ProfileError,
)
_COUNTS = ("successes", "generated_tokens", "prompt_tokens")


@contextmanager
def open_profile_journal(path: Path, settings: dict[str, Any], prompts: int) -> Iterator["ProfileJournal"]:
    """Open or create a journal, for this process alone.

    Args:
        path: The journal file.
        settings: Everything the counts depend on; a journal with other settings is refused.
        prompts: N, prompts of the pool.

    Raises:
        ProfileError: See ``open_journal``.
    """
    entries = _ProfileEntries(prompts)
    with open_journal(path, KIND, settings, entries.restore) as journal:
        yield ProfileJournal(journal, entries, prompts)


class _ProfileEntries:
    """The latest line of every prompt."""

    def __init__(self, prompts: int) -> None:
        self._prompts = prompts
        self.done: dict[int, dict[str, int]] = {}
        self.failed: set[int] = set()

    def restore(self, value: Any, _: int) -> None:
        row = range(self._prompts).index(value["row"])
        self.keep(row, None if value.get("failed") else {name: int(value[name]) for name in _COUNTS})

    def keep(self, row: int, counts: dict[str, int] | None) -> None:
        if counts is None:
            self.failed.add(row)
        else:
            self.failed.discard(row)
            self.done[row] = counts


class ProfileJournal:
    """The finished prompts of a profiling pass, in memory and on disk."""

    def __init__(self, journal: Journal, entries: _ProfileEntries, prompts: int) -> None:
        self._journal, self._entries, self._prompts = journal, entries, prompts

    def pending(self) -> tuple[list[int], list[int]]:
        """Rows never played, and rows that failed, each ascending."""
        entries = self._entries
        fresh = [row for row in range(self._prompts) if row not in entries.done and row not in entries.failed]
        return fresh, sorted(entries.failed)

    def record(self, played: Iterable[tuple[int, list[Rollout] | None]], samples: int, success_at: float) -> int:
        """Write the results of one chunk as they arrive, and sync; return the number of prompts played."""
        good = 0
        for row, rollouts in played:
            assert rollouts is None or len(rollouts) == samples, "an environment gives the rollouts asked for"
            played_whole = usable(rollouts)
            counts = None if played_whole is None else _counts(played_whole, success_at)
            self._entries.keep(row, counts)
            self._journal.add({"row": row, **({"failed": True} if counts is None else counts)})
            good += counts is not None
        self._journal.sync()
        return good

    def profile(self, task_ids: Sequence[str], key: ProfileKey, samples: int, parameters: int) -> Profile:
        """The profile, in the order of the tasks."""
        done = self._entries.done
        rows = sorted(done)
        if not rows:
            raise ProfileError(
                f"none of the {self._prompts} prompts could be played; check the model or the endpoint, and look for "
                "prompts that are too long, and start again"
            )
        columns = {name: np.array([done[row][name] for row in rows], np.int64) for name in _COUNTS}
        tokens = int(columns["generated_tokens"].sum() + columns["prompt_tokens"].sum())
        return Profile(
            key=key,
            task_ids=tuple(task_ids[row] for row in rows),
            samples=np.full(len(rows), samples),
            **columns,
            flops=2.0 * parameters * tokens,
            failed=tuple(task_ids[row] for row in sorted(self._entries.failed)),
        )


def _counts(rollouts: Sequence[Rollout], success_at: float) -> dict[str, int]:
    """Counts of one prompt. Its prompt tokens count once, as they went through the model once."""
    prompt = next((at for at, sampled in enumerate(rollouts[0].loss_mask) if sampled), len(rollouts[0].loss_mask))
    generated = sum(rollout.generated_tokens for rollout in rollouts)
    read = sum(len(rollout.token_ids) for rollout in rollouts) - generated
    values = (sum(rollout.reward >= success_at for rollout in rollouts), generated, read - prompt * (len(rollouts) - 1))
    return dict(zip(_COUNTS, values, strict=True))
