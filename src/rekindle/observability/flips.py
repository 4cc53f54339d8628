"""How the outcomes of prompts changed from visit to visit, without words or markup.

A prompt flips where its last visit has another outcome than its first one. Visits that failed have no outcome and are
left out.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rekindle.observability.visits import OUTCOMES, Visits
from rekindle.types import Outcome

__all__ = ["Flips", "Kind"]

Kind = tuple[Outcome, Outcome]
"""Outcomes of the first and of the last visit."""

_WRONG, _MIXED, _CORRECT = OUTCOMES
_ORDER: tuple[Kind, ...] = (
    (_WRONG, _CORRECT),
    (_WRONG, _MIXED),
    (_MIXED, _CORRECT),
    (_CORRECT, _WRONG),
    (_MIXED, _WRONG),
    (_CORRECT, _MIXED),
    (_WRONG, _WRONG),
    (_MIXED, _MIXED),
    (_CORRECT, _CORRECT),
)
"""Rises first, then falls, then what stayed."""


@dataclass(frozen=True)
class Flips:
    """Outcomes of the visits of all prompts.

    Args:
        visits: The solver's groups.
    """

    visits: Visits

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """[P] visits with an outcome."""
        return self.visits.known.prompts.visits

    @cached_property
    def revisited(self) -> NDArray[np.int64]:
        """Prompts with at least two outcomes."""
        return np.flatnonzero(self._counts > 1)

    @property
    def once(self) -> int:
        """Number of prompts with one outcome."""
        return int((self._counts == 1).sum())

    @property
    def most_visits(self) -> int:
        """Most outcomes of a prompt; 0 where there are none."""
        return int(self._counts.max(initial=0))

    def of(self, prompt: int) -> NDArray[np.int64]:
        """Places in ``visits.known`` of a prompt's outcomes, in order."""
        return self.visits.known.of(prompt)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """[revisited, 2] codes of the first and of the last outcome."""
        known = self.visits.known
        first, last = known.starts[self.revisited], known.starts[self.revisited + 1] - 1
        ends: NDArray[np.int64] = np.stack([known.outcome[known.by_prompt[place]] for place in (first, last)], axis=1)
        return ends

    def prompts(self, kind: Kind) -> NDArray[np.int64]:
        """Prompts whose first and last outcomes are these, those with the most visits first."""
        first, last = (OUTCOMES.index(outcome) for outcome in kind)
        found = self.revisited[(self._ends[:, 0] == first) & (self._ends[:, 1] == last)]
        ordered: NDArray[np.int64] = found[np.argsort(-self._counts[found], kind="stable")]
        return ordered

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that occur: rises, falls, and then prompts that end as they began."""
        return [kind for kind in _ORDER if len(self.prompts(kind))]

    def count(self, first: Outcome, last: Outcome) -> int:
        """Number of prompts of a kind."""
        return len(self.prompts((first, last)))

    def by_visit(self, limit: int) -> NDArray[np.int64]:
        """[V, 3] prompts by outcome at their first, second, ... visit, at most ``limit`` of them."""
        known = self.visits.known
        order = known.by_prompt
        number = np.arange(len(order)) - known.starts[known.prompt[order]]
        shown = min(limit, self.most_visits)
        codes = known.outcome[order][number < shown] + len(OUTCOMES) * number[number < shown]
        return np.bincount(codes, minlength=len(OUTCOMES) * shown).reshape(shown, len(OUTCOMES))
