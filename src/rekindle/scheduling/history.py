"""One table about every prompt: what happened at its visits.

Columns, not objects: 38 bytes a prompt plus its id, so that ten million prompts fit in less than a gigabyte. The same
table serves every method (recycling reads weights and outcomes, temperature heating reads streaks, Bayesian selection
reads Beta counts).
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rekindle.types import Outcome

__all__ = ["History", "TaskIds"]

_OUTCOMES: tuple[Outcome | None, ...] = (None, Outcome.MIXED, Outcome.ALL_CORRECT, Outcome.ALL_WRONG)
_CODE = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
_MAX_STREAK = np.iinfo(np.uint16).max

_COLUMNS: tuple[tuple[str, Any, float], ...] = (
    ("visits", np.uint32, 0),
    ("successes", np.uint32, 0),
    ("attempts", np.uint32, 0),
    ("correct_streak", np.uint16, 0),
    ("wrong_streak", np.uint16, 0),
    ("first_outcome_code", np.int8, 0),
    ("last_outcome_code", np.int8, 0),
    ("weight", np.float32, 1),
    ("temperature", np.float32, 0),
    ("beta_successes", np.float32, 0),
    ("beta_failures", np.float32, 0),
    ("last_version", np.int32, -1),
)


class TaskIds:
    """Strings in one block of bytes: ``ids[row]`` is the task's id. Python strings would cost 60 bytes more each."""

    _CHUNK = 65_536

    def __init__(self, ids: Iterable[str]) -> None:
        blob, ends = bytearray(), [np.zeros(1, np.int64)]
        iterator = iter(ids)
        while chunk := list(islice(iterator, self._CHUNK)):
            encoded = [one.encode() for one in chunk]
            ends.append(np.cumsum([len(one) for one in encoded], dtype=np.int64) + len(blob))
            blob += b"".join(encoded)
        self._blob = bytes(blob)
        offsets = np.concatenate(ends)
        self._offsets = offsets.astype(np.uint32) if len(blob) < 2**32 else offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> str:
        return self._blob[int(self._offsets[row]) : int(self._offsets[row + 1])].decode()

    def digest(self) -> str:
        """Fingerprint of all ids in order; a checkpoint refuses a pool with another one."""
        import hashlib

        return hashlib.blake2b(self._blob + self._offsets.tobytes(), digest_size=16).hexdigest()


class History:
    """Columns per prompt, each of shape [prompts].

    Attributes:
        ids: Task id of each row.
        visits: Groups rolled out.
        attempts: Rollouts graded.
        successes: Rollouts that succeeded.
        correct_streak: Trailing visits that were all correct.
        wrong_streak: Trailing visits that were all wrong.
        weight: Draw weight in [0, 1]; the pool's column.
        temperature: Temperature of the last visit, 0 before the first.
        beta_successes: Successes as Beta counts (a method may discount them).
        beta_failures: Failures as Beta counts.
        last_version: Policy version of the last visit, -1 before the first.
    """

    visits: npt.NDArray[np.uint32]
    successes: npt.NDArray[np.uint32]
    attempts: npt.NDArray[np.uint32]
    correct_streak: npt.NDArray[np.uint16]
    wrong_streak: npt.NDArray[np.uint16]
    first_outcome_code: npt.NDArray[np.int8]
    last_outcome_code: npt.NDArray[np.int8]
    weight: npt.NDArray[np.float32]
    temperature: npt.NDArray[np.float32]
    beta_successes: npt.NDArray[np.float32]
    beta_failures: npt.NDArray[np.float32]
    last_version: npt.NDArray[np.int32]

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = ids if isinstance(ids, TaskIds) else TaskIds(ids)
        if not len(self.ids):
            raise ValueError("the pool has no prompts; give at least one task")
        for name, dtype, initial in _COLUMNS:
            setattr(self, name, np.full(len(self.ids), initial, dtype))

    def __len__(self) -> int:
        return len(self.ids)

    def first_outcome(self, row: int) -> Outcome | None:
        """Outcome of the prompt's first visit."""
        return _OUTCOMES[int(self.first_outcome_code[row])]

    def last_outcome(self, row: int) -> Outcome | None:
        """Outcome of the prompt's latest visit."""
        return _OUTCOMES[int(self.last_outcome_code[row])]

    def record(self, row: int, outcome: Outcome, *, successes: int, n: int, temperature: float, version: int) -> None:
        """Enter one visit: a group of ``n`` rollouts with ``successes`` at ``temperature``, sampled by ``version``."""
        code = _CODE[outcome]
        if not self.visits[row]:
            self.first_outcome_code[row] = code
        self.last_outcome_code[row] = code
        self.visits[row] += 1
        self.attempts[row] += n
        self.successes[row] += successes
        self.beta_successes[row] += successes
        self.beta_failures[row] += n - successes
        self.temperature[row] = temperature
        self.last_version[row] = version
        self._extend(self.correct_streak, row, outcome is Outcome.ALL_CORRECT)
        self._extend(self.wrong_streak, row, outcome is Outcome.ALL_WRONG)

    @staticmethod
    def _extend(streak: npt.NDArray[np.uint16], row: int, goes_on: bool) -> None:
        streak[row] = min(int(streak[row]) + 1, _MAX_STREAK) if goes_on else 0

    def state_dict(self) -> dict[str, Any]:
        """Columns as arrays, and the fingerprint of the ids they belong to."""
        return {"ids": self.ids.digest(), **{name: getattr(self, name) for name, _, _ in _COLUMNS}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore in place, so that pools that hold a column see it.

        Raises:
            ValueError: The state belongs to other prompts.
        """
        if state["ids"] != self.ids.digest():
            raise ValueError(
                "the saved history belongs to other prompts than this pool; "
                "resume with the task table the run was started with"
            )
        for name, _, _ in _COLUMNS:
            getattr(self, name)[:] = state[name]
