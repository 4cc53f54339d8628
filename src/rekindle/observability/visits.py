"""The visits of a run's prompts as columns: one row per group of the solver, in the order of their requests.

A million groups are read in a few seconds and take about 150 MB, most of it the prompts' ids.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rekindle.observability.runs import Run
from rekindle.types import Outcome

__all__ = ["FAILED", "OUTCOMES", "Prompts", "Visits", "read_visits"]

OUTCOMES = (Outcome.ALL_WRONG, Outcome.MIXED, Outcome.ALL_CORRECT)
"""An outcome's place is its code in the columns; they rise with the successes."""

FAILED = len(OUTCOMES)
"""Code of a group without an outcome."""

_VISITS = """
select task_id, step, n, ifnull(successes, 0) successes, fate = 'trained' trained,
  case outcome when 'all_wrong' then 0 when 'mixed' then 1 when 'all_correct' then 2 else 3 end outcome
from groups where step <= ? and role = 'solver' order by request_id
"""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Prompts:
    """Sums over the visits of each prompt, [P] each."""

    visits: Ints
    rollouts: Ints
    successes: Ints
    trained: Ints


@dataclass(frozen=True)
class Visits:
    """Groups of the solver in the order of their requests.

    Attributes:
        ids: [P] ids of the prompts, in the order of their first visit.
        prompt: [V] place of the prompt in ``ids``.
        step: [V] step of the request.
        n: [V] number of rollouts.
        successes: [V] rollouts that were right; 0 of a failed group.
        trained: [V] whether the group was in an update.
        outcome: [V] place in ``OUTCOMES``, or ``FAILED``.
    """

    ids: list[str]
    prompt: Ints
    step: Ints
    n: Ints
    successes: Ints
    trained: Ints
    outcome: Ints

    @cached_property
    def prompts(self) -> Prompts:
        """Sums by prompt."""

        def summed(weights: Ints) -> Ints:
            return np.bincount(self.prompt, weights, len(self.ids)).astype(np.int64)

        visits = np.bincount(self.prompt, minlength=len(self.ids))
        return Prompts(visits, summed(self.n), summed(self.successes), summed(self.trained))

    @cached_property
    def known(self) -> "Visits":
        """Those whose outcome is known; all prompts keep their places."""
        kept = self.outcome != FAILED
        columns = (self.prompt, self.step, self.n, self.successes, self.trained, self.outcome)
        return Visits(self.ids, *(column[kept] for column in columns))

    @cached_property
    def by_prompt(self) -> Ints:
        """[V] places of the visits, sorted by prompt and then by request."""
        return np.argsort(self.prompt, kind="stable")

    @cached_property
    def starts(self) -> Ints:
        """[P + 1] where the visits of each prompt begin in ``by_prompt``."""
        return np.concatenate([[0], np.cumsum(self.prompts.visits)])

    def of(self, prompt: int) -> Ints:
        """Places of the visits of a prompt, in order."""
        return self.by_prompt[self.starts[prompt] : self.starts[prompt + 1]]

    def table(self, places: Iterable[int]) -> Iterator[Mapping[str, Any]]:
        """Rows of prompts: ``task_id visits rollouts successes trained``."""
        sums = self.prompts
        for place in places:
            yield {
                "task_id": self.ids[place],
                **{name: int(getattr(sums, name)[place]) for name in ("visits", "rollouts", "successes", "trained")},
            }


def read_visits(run: Run, last_step: int) -> Visits:
    """The visits up to a step, in one pass over the ledger; none where there is no ledger."""
    places: dict[str, int] = {}
    columns = {name: array("q") for name in ("prompt", "step", "n", "successes", "trained", "outcome")}
    prompts, *others = columns.values()
    names = list(columns)[1:]
    for row in run.query(_VISITS, (last_step,)):
        prompts.append(places.setdefault(row["task_id"], len(places)))
        for column, name in zip(others, names, strict=True):
            column.append(row[name])
    return Visits(list(places), *(np.frombuffer(column, np.int64) if column else _NONE for column in columns.values()))


_NONE: Ints = np.empty(0, np.int64)
