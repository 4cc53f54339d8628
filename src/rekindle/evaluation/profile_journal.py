"""What a profiling pass has finished, on disk: a JSON-lines file with a header of settings, then a line per prompt.

    {"rekindle_profile": 1, "samples": 8, "seed": 0, ...}
    {"row": 0, "successes": 3, "generated_tokens": 61, "prompt_tokens": 7}
    {"row": 1, "failed": true}

A later line about a prompt replaces an earlier one, and a line that was torn off by a kill is dropped.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from rekindle.locking import lock
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.types import Rollout

__all__ = ["Journal", "open_journal"]

FORMAT = 1
_COUNTS = ("successes", "generated_tokens", "prompt_tokens")


@contextmanager
def open_journal(path: Path, settings: dict[str, Any], prompts: int) -> Iterator["Journal"]:
    """Open or make a journal, for this process alone.

    Args:
        path: Of the file.
        settings: What the counts depend on; a journal of other settings is refused.
        prompts: N, prompts of the pool.

    Raises:
        ProfileError: It cannot be written, another process has it, it belongs to another pass, or it is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise ProfileError(f"{path} cannot be written ({error.strerror or error}); choose another --out") from error
    with file:
        lock(file, ProfileError(f"another process is profiling into {path}; wait for it, or choose another --out"))
        yield Journal(file, path, settings, prompts)


class Journal:
    """Prompts that are done, in memory and on disk.

    Attributes:
        recorded: Prompts recorded since it was opened.
    """

    def __init__(self, file: IO[bytes], path: Path, settings: dict[str, Any], prompts: int) -> None:
        self._file, self._path, self._prompts = file, path, prompts
        self._done: dict[int, dict[str, int]] = {}
        self._failed: set[int] = set()
        self.recorded = 0
        header = {"rekindle_profile": FORMAT, **settings}
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        first, *lines = whole.splitlines() or [b""]
        if content and not _line(header).startswith(content):
            self._check_header(first, header)
        file.truncate(len(whole))  # a line that was being written when the process died is played again
        if not whole:
            self._write(header)
            self._sync()
        for number, line in enumerate(lines, start=2):
            self._restore(line, number)
        self._earlier = frozenset(self._failed)

    def _check_header(self, line: bytes, header: dict[str, Any]) -> None:
        try:
            found = json.loads(line)
            different = [name for name in header if found[name] != header[name]]
        except (ValueError, KeyError, TypeError):
            raise ProfileError(
                f"{self._path} is something else than an unfinished profile; move it, or choose another --out"
            ) from None
        if different:
            raise ProfileError(
                f"{self._path} holds an unfinished profile with another {', '.join(different)}; go on with the "
                "settings it was started with, delete it, or choose another --out"
            )

    def _restore(self, line: bytes, number: int) -> None:
        try:
            value = json.loads(line)
            row = range(self._prompts).index(value["row"])
            counts = None if value.get("failed") else {name: int(value[name]) for name in _COUNTS}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ProfileError(f"{self._path}:{number} is damaged; delete the file to profile anew") from None
        self._keep(row, counts)

    def _keep(self, row: int, counts: dict[str, int] | None) -> None:
        if counts is None:
            self._failed.add(row)
        else:
            self._failed.discard(row)
            self._done[row] = counts

    def pending(self) -> tuple[list[int], list[int]]:
        """Rows never played, and rows that failed earlier, each ascending."""
        fresh = [row for row in range(self._prompts) if row not in self._done and row not in self._earlier]
        return fresh, sorted(self._earlier)

    def tried_again(self, row: int) -> bool:
        """Whether it failed before the journal was opened."""
        return row in self._earlier

    def record(self, played: Iterable[tuple[int, list[Rollout] | None]], samples: int, success_at: float) -> int:
        """Enter one chunk as it comes, make it durable, and return how many of its prompts could be played."""
        good = 0
        for row, rollouts in played:
            assert rollouts is None or len(rollouts) == samples, "an environment gives the rollouts asked for"
            counts = None if rollouts is None else _counts(rollouts, success_at)
            self._keep(row, counts)
            self._write({"row": row, **({"failed": True} if counts is None else counts)})
            self.recorded += 1
            good += counts is not None
        self._sync()
        return good

    def _write(self, value: dict[str, Any]) -> None:
        self._file.write(_line(value))

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def profile(self, task_ids: Sequence[str], key: ProfileKey, samples: int, parameters: int) -> Profile:
        """What was found, in the order of the tasks."""
        rows = sorted(self._done)
        if not rows:
            raise ProfileError(
                f"none of the {self._prompts} prompts could be played; look at the model or the endpoint and at "
                "prompts that are too long, and start again"
            )
        columns = {name: np.array([self._done[row][name] for row in rows], np.int64) for name in _COUNTS}
        tokens = int(columns["generated_tokens"].sum() + columns["prompt_tokens"].sum())
        return Profile(
            key=key,
            task_ids=tuple(task_ids[row] for row in rows),
            samples=np.full(len(rows), samples),
            **columns,
            flops=2.0 * parameters * tokens,
            failed=tuple(task_ids[row] for row in sorted(self._failed)),
        )


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _counts(rollouts: Sequence[Rollout], success_at: float) -> dict[str, int]:
    """One prompt's numbers. The prompt, which all its rollouts begin with, went through the model once."""
    prompt = next((at for at, sampled in enumerate(rollouts[0].loss_mask) if sampled), len(rollouts[0].loss_mask))
    generated = sum(rollout.generated_tokens for rollout in rollouts)
    read = sum(len(rollout.token_ids) for rollout in rollouts) - generated
    values = (sum(rollout.reward >= success_at for rollout in rollouts), generated, read - prompt * (len(rollouts) - 1))
    return dict(zip(_COUNTS, values, strict=True))
