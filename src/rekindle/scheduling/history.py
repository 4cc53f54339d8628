"""History: one table with a row per prompt, updated at every visit.

Columns instead of objects: 46 bytes per prompt plus its id, so ten million prompts fit in less than a gigabyte. The
same table serves every method: recycling reads weights and outcomes, heating reads heating steps, skipping reads
streaks, Bayesian selection reads Beta counts. Rows are only added, at the end, so a prompt keeps its row.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.belief import Belief
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Group, Outcome, UserError

__all__ = ["MAX_STREAK", "History", "Knowledge", "TaskIds"]

_OUTCOMES: tuple[Outcome | None, ...] = (None, Outcome.MIXED, Outcome.ALL_CORRECT, Outcome.ALL_WRONG)
_CODE = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
_ALL = slice(None)
MAX_STREAK = np.iinfo(np.uint16).max
"""Largest value of streaks and heating steps."""

_COLUMNS: tuple[tuple[str, Any, float], ...] = (
    ("visits", np.uint32, 0),
    ("successes", np.uint32, 0),
    ("attempts", np.uint32, 0),
    ("correct_streak", np.uint16, 0),
    ("wrong_streak", np.uint16, 0),
    ("unanimous_streak", np.uint16, 0),
    ("heating_steps", np.uint16, 0),
    ("first_outcome_code", np.int8, 0),
    ("last_outcome_code", np.int8, 0),
    ("weight", np.float32, 1),
    ("temperature", np.float32, 0),
    ("beta_successes", np.float32, 0),
    ("beta_failures", np.float32, 0),
    ("moved_at", np.float32, 0),
    ("last_version", np.int32, -1),
)


class Knowledge(NamedTuple):
    """Record of a prompt before a visit.

    Attributes:
        last_outcome: Outcome of the latest visit; None before the first.
        first_outcome: Outcome of the first visit; None before it.
        streak: ``heating_steps`` of the prompt.
        beta: (a, b) of the posterior, prior included.
    """

    last_outcome: Outcome | None
    first_outcome: Outcome | None
    streak: int
    beta: tuple[float, float]


class TaskIds:
    """Task ids in one block of bytes: ``ids[row]`` is the id of a row. Python strings would cost 60 bytes more each."""

    _CHUNK = 65_536

    def __init__(self, ids: Iterable[str]) -> None:
        self._blob = bytearray()
        self._offsets: npt.NDArray[Any] = np.zeros(1, np.int64)
        self._known: set[str] | None = None
        """All ids, to find duplicates; built at the first growth, because most pools never grow."""
        self._append(ids)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> str:
        return self._blob[int(self._offsets[row]) : int(self._offsets[row + 1])].decode()

    def extend(self, ids: Iterable[str]) -> None:
        """Append ids.

        Raises:
            ValueError: An id is a duplicate; then none is appended.
        """
        known = self._known = self._known or set(self)
        new: dict[str, None] = {}
        for one in ids:
            if one in known or one in new:
                raise ValueError(f"task {one!r} is in the pool already; add every id once")
            new[one] = None
        self._append(new)
        known.update(new)

    def _append(self, ids: Iterable[str]) -> None:
        ends: list[npt.NDArray[Any]] = [self._offsets]
        iterator = iter(ids)
        while chunk := list(islice(iterator, self._CHUNK)):
            encoded = [one.encode() for one in chunk]
            ends.append(np.cumsum([len(one) for one in encoded], dtype=np.int64) + len(self._blob))
            self._blob += b"".join(encoded)
        offsets = np.concatenate(ends)
        self._offsets = offsets.astype(np.uint32 if len(self._blob) < 2**32 else np.int64)

    def digest(self) -> str:
        """Fingerprint of all ids in order; a checkpoint refuses a pool with another fingerprint."""
        import hashlib

        digest = hashlib.blake2b(self._blob, digest_size=16)
        digest.update(self._offsets.tobytes())
        return digest.hexdigest()


class History:
    """Columns per prompt, each of shape [prompts].

    Args:
        ids: Ids of the prompts at the start.
        belief: Prior and discount of the success rates; None: no discount.
        growing: Whether the history may begin without prompts, to be extended later.

    Attributes:
        ids: Task id of each row.
        belief: Prior and discount of the success rates.
        movement: Movement of the policy since the start, in nats of mean |change of log p| per token.
        visits: Groups rolled out.
        attempts: Rollouts graded.
        successes: Successful rollouts.
        correct_streak: Trailing visits that were all correct.
        wrong_streak: Trailing visits that were all wrong.
        unanimous_streak: Trailing visits without signal, of either kind.
        heating_steps: Steps by which the temperature of the prompt is raised; written by the temperature rule.
        weight: Draw weight in [0, 1]; written by the pool.
        temperature: Temperature of the last visit, 0 before the first.
        beta_successes: Beta count of successes without the prior, discounted at every visit.
        beta_failures: Beta count of failures without the prior, discounted at every visit.
        moved_at: ``movement`` at the last visit.
        last_version: Policy version of the last visit, -1 before the first.
    """

    visits: npt.NDArray[np.uint32]
    successes: npt.NDArray[np.uint32]
    attempts: npt.NDArray[np.uint32]
    correct_streak: npt.NDArray[np.uint16]
    wrong_streak: npt.NDArray[np.uint16]
    unanimous_streak: npt.NDArray[np.uint16]
    heating_steps: npt.NDArray[np.uint16]
    first_outcome_code: npt.NDArray[np.int8]
    last_outcome_code: npt.NDArray[np.int8]
    weight: npt.NDArray[np.float32]
    temperature: npt.NDArray[np.float32]
    beta_successes: npt.NDArray[np.float32]
    beta_failures: npt.NDArray[np.float32]
    moved_at: npt.NDArray[np.float32]
    last_version: npt.NDArray[np.int32]

    def __init__(self, ids: Iterable[str], belief: Belief | None = None, *, growing: bool = False) -> None:
        self.ids = ids if isinstance(ids, TaskIds) else TaskIds(ids)
        if not (len(self.ids) or growing):
            raise ValueError("the pool has no prompts; give at least one task")
        self.belief = belief or Belief()
        self._discounts = self.belief.discount(0.0) < 1 or self.belief.half_life is not None
        self.movement = 0.0
        for name, dtype, initial in _COLUMNS:
            setattr(self, name, np.full(len(self.ids), initial, dtype))

    def __len__(self) -> int:
        return len(self.ids)

    def extend(self, ids: Iterable[str]) -> Rows:
        """Append prompts without visits.

        The columns are replaced by longer copies, in less than a millisecond at 100,000 rows. Call ``grown`` of the
        pool over this history afterwards.

        Returns:
            [ids] the new rows, in order.

        Raises:
            ValueError: An id is a duplicate; then none is appended.
        """
        before = len(self)
        self.ids.extend(ids)
        for name, dtype, initial in _COLUMNS:
            new = np.full(len(self) - before, initial, dtype)
            setattr(self, name, np.concatenate([getattr(self, name), new]))
        return np.arange(before, len(self))

    def first_outcome(self, row: int) -> Outcome | None:
        """Outcome of the prompt's first visit."""
        return _OUTCOMES[self.first_outcome_code.item(row)]

    def last_outcome(self, row: int) -> Outcome | None:
        """Outcome of the prompt's latest visit."""
        return _OUTCOMES[self.last_outcome_code.item(row)]

    # -- visits --------------------------------------------------------------------------------------------------------

    def before(self, row: int) -> Knowledge:
        """The record of a prompt before a visit."""
        return Knowledge(
            last_outcome=_OUTCOMES[self.last_outcome_code.item(row)],
            first_outcome=_OUTCOMES[self.first_outcome_code.item(row)],
            streak=self.heating_steps.item(row),
            beta=self.beta(row),
        )

    def record(self, row: int, outcome: Outcome, *, successes: int, n: int, temperature: float, version: int) -> None:
        """Record one visit: a group of ``n`` rollouts with ``successes`` at ``temperature``, sampled by ``version``.

        The Beta counts are discounted by the policy's movement since the last visit; then the new counts are added.
        """
        code = _CODE[outcome]
        visits = self.visits.item(row)
        if not visits:
            self.first_outcome_code[row] = code
        self.last_outcome_code[row] = code
        self.visits[row] = visits + 1
        self.attempts[row] = self.attempts.item(row) + n
        if successes:
            self.successes[row] = self.successes.item(row) + successes
        kept = self.belief.discount(self.movement - self.moved_at.item(row)) if self._discounts else 1.0
        self.beta_successes[row] = kept * self.beta_successes.item(row) + successes
        self.beta_failures[row] = kept * self.beta_failures.item(row) + n - successes
        self.moved_at[row] = self.movement
        self.temperature[row] = temperature
        self.last_version[row] = version
        self._count(self.correct_streak, row, outcome is Outcome.ALL_CORRECT)
        self._count(self.wrong_streak, row, outcome is Outcome.ALL_WRONG)
        self._count(self.unanimous_streak, row, outcome is not Outcome.MIXED)

    def record_group(self, group: Group, success_at: float) -> None:
        """Record a group as a visit of its prompt.

        Args:
            group: The group, top-ups included.
            success_at: A reward of at least this much is a success.
        """
        request = group.request
        self.record(
            request.row,
            group.outcome,
            successes=group.successes(success_at),
            n=len(group.rollouts),
            temperature=request.temperature,
            version=request.version,
        )

    @staticmethod
    def _count(streak: npt.NDArray[np.uint16], row: int, goes_on: bool) -> None:
        before = streak.item(row)
        if goes_on:
            streak[row] = min(before + 1, MAX_STREAK)
        elif before:
            streak[row] = 0

    def prime(self, rows: Rows, successes: npt.ArrayLike, failures: npt.ArrayLike) -> None:
        """Set the Beta counts of ``rows`` from rollouts made before the run (a profile). Counts as no visit."""
        self.beta_successes[rows] = successes
        self.beta_failures[rows] = failures
        self.moved_at[rows] = self.movement

    def moved(self, amount: float) -> None:
        """Add the policy's movement in an update, ``amount`` nats (mean |change of log p| per token)."""
        self.movement += amount

    # -- posterior -----------------------------------------------------------------------------------------------------

    def posterior(self, rows: Rows | slice = _ALL) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(a, b), each of shape [rows], of the posterior Beta(a, b) of each success rate."""
        # moved_at is rounded to 32 bits, so it may be slightly above the movement.
        kept = self.belief.staleness(np.maximum(self.movement - self.moved_at[rows].astype(np.float64), 0.0))
        return (
            self.belief.prior_successes + kept * self.beta_successes[rows],
            self.belief.prior_failures + kept * self.beta_failures[rows],
        )

    def beta(self, row: int) -> tuple[float, float]:
        """(a, b) of the posterior of one prompt."""
        forgets = self.belief.half_life is not None
        kept = self.belief.staleness(max(self.movement - self.moved_at.item(row), 0.0)) if forgets else 1.0
        return (
            self.belief.prior_successes + kept * self.beta_successes.item(row),
            self.belief.prior_failures + kept * self.beta_failures.item(row),
        )

    def known(self, rows: Rows) -> Rows:
        """Those of ``rows`` that were visited or primed; the posterior of the others is the prior."""
        seen = (self.temperature[rows] > 0) | (self.beta_successes[rows] > 0) | (self.beta_failures[rows] > 0)
        return rows[seen]

    def posterior_mean(self, rows: Rows | slice = _ALL) -> npt.NDArray[np.float64]:
        """[rows] a / (a + b); 1/2 where prior and counts are 0."""
        a, b = self.posterior(rows)
        mean = np.full(len(a), 0.5)
        np.divide(a, a + b, out=mean, where=a + b > 0)
        return mean

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Columns as arrays, the movement, and the fingerprint of the ids."""
        columns = {name: getattr(self, name) for name, _, _ in _COLUMNS}
        return {"ids": self.ids.digest(), "movement": self.movement, **columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore in place, so that pools that hold a column see the change. Extend a grown history first.

        Raises:
            UserError: The state belongs to other prompts.
        """
        if state["ids"] != self.ids.digest():
            raise UserError(
                "the saved history belongs to other prompts than this pool; "
                "resume with the tasks that the run was started with"
            )
        self.movement = float(state["movement"])
        for name, _, _ in _COLUMNS:
            getattr(self, name)[:] = state[name]
