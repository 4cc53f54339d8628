"""The phased pool, sGPO's curriculum: phases from easy to hard, each with its own group size."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import UserError

__all__ = ["Phase", "PhasedPool"]


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A phase of the curriculum.

    Attributes:
        group_size: Rollouts of every prompt in the phase.
        rows: [prompts of the phase] distinct rows of the history.
    """

    group_size: int
    rows: Rows


class PhasedPool(WeightedPool):
    """sGPO's curriculum (arXiv 2606.08854): the prompts of one phase, then those of the next; then all phases again.

    A phase lasts ``max_epochs`` passes over its prompts. With ``patience`` (ours, the paper has no such rule) it ends
    earlier, when the smoothed mean reward of its rollouts has not risen by ``min_gain`` over its best for ``patience``
    steps. Phases change between steps, never inside one, so a step has one group size; the last step of a phase is
    filled up from its own prompts (ours).

    Args:
        history: History of all prompts; those in no phase are never drawn.
        phases: Phases in order; a prompt may be in several.
        max_epochs: Passes over a phase's prompts.
        repeats: Passes over all phases; sizes 2, 4, 8 and two passes are 2, 4, 8, 2, 4, 8.
        patience: Steps without a gain after which a phase has converged; None: only ``max_epochs`` ends it.
        min_gain: Rise of the smoothed reward that counts as a gain.
        smoothing: Weight of a step in the smoothed reward.
        after_last: At the end of the last phase, "continue" to cycle its prompts, or "stop" the run.
        reprofile: Function that rebuilds the phases from the history. At the end of a phase its result replaces the
            following phases; in the same pass only phases of larger group size are taken.

    Raises:
        UserError: A phase is invalid, or an argument is outside its bounds.
    """

    consumes_on_draw = True

    def __init__(
        self,
        history: History,
        phases: Sequence[Phase],
        *,
        max_epochs: int = 1,
        repeats: int = 2,
        patience: int | None = None,
        min_gain: float = 0.005,
        smoothing: float = 0.1,
        after_last: Literal["continue", "stop"] = "continue",
        reprofile: Callable[[History], list[Phase]] | None = None,
    ) -> None:
        check_bounds("give at least 1", ge=1, max_epochs=max_epochs, repeats=repeats)
        if patience is not None:
            check_bounds("give at least 1, or None for no such rule", ge=1, patience=patience)
        check_bounds("give 1 for no smoothing, 0.1 for some", gt=0, le=1, smoothing=smoothing)
        super().__init__(history, consumed_weight=0.0)
        self._max_epochs, self._repeats, self._patience, self._min_gain = max_epochs, repeats, patience, min_gain
        self._smoothing, self._after_last, self._reprofile = smoothing, after_last, reprofile
        self._phases, self._pass = list(phases), 1
        self._enter(0)

    def _enter(self, index: int) -> None:
        """Begin a phase: only its prompts have weight, and the smoothed reward starts anew."""
        _check(self._phases, len(self.history))
        self._show(index)
        self._drawn = 0
        self._smoothed: float | None = None
        self._best: float | None = None
        self._since_best = 0
        self._fill()

    def _show(self, index: int) -> None:
        self._index = index
        self.members, self.group_size = self._phases[index].rows, self._phases[index].group_size

    @property
    def _epoch(self) -> int:
        return max(1, -(-self._drawn // len(self._phases[self._index].rows)))

    def grown(self) -> None:
        """Refuse new prompts, because phases come from a profile of every prompt.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "a phased pool cannot grow, because its phases come from a profile of every prompt; "
            "use a cycling, recycling, selective or prioritized pool"
        )

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw prompts of the phase and consume them; none when the last phase has stopped the run."""
        if self.finished is not None:
            return np.empty(0, np.int64)
        rows = self._consume(self._by_weight(rng), count, in_flight)
        self._drawn += len(rows)
        return rows

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Update the smoothed reward, and end the phase when its epochs are over or it has converged."""
        graded = [one for one in records if one.outcome is not None]
        if graded:
            self._note(sum(one.reward_sum for one in graded) / sum(one.request.n for one in graded))
        passes = self._drawn // len(self._phases[self._index].rows)
        converged = self._patience is not None and self._since_best >= self._patience
        if passes >= self._max_epochs or converged:
            self._end_phase()

    def _note(self, reward: float) -> None:
        before = reward if self._smoothed is None else self._smoothed
        self._smoothed = before + self._smoothing * (reward - before)
        if self._best is None or self._smoothed >= self._best + self._min_gain:
            self._best, self._since_best = self._smoothed, 0
        else:
            self._since_best += 1

    def _end_phase(self) -> None:
        """Begin the next phase of this pass, or the first one of the next pass; after the last pass do neither."""
        done, later, again = self._phases[: self._index + 1], self._phases[self._index + 1 :], self._phases
        another_pass = self._pass < self._repeats
        if self._reprofile is not None and (later or another_pass):
            again = self._reprofile(self.history)
            later = [phase for phase in again if phase.group_size > done[-1].group_size] if later else []
        self._phases = [*done, *later]
        if later:
            self._enter(self._index + 1)
        elif another_pass and again:
            self._pass, self._phases = self._pass + 1, list(again)
            self._enter(0)
        elif self._after_last == "stop":
            self.finished = (
                f"the last of {len(self._phases)} phases is over, in pass {self._pass} of {self._repeats}; raise "
                'repeats or max_epochs of the phases, or set their after_last = "continue"'
            )

    def metrics(self) -> dict[str, float]:
        """The pass, the phase and its epoch, all counted from 1, and the smoothed reward."""
        reward = {} if self._smoothed is None else {"pool/smoothed_reward": self._smoothed}
        return {"pool/pass": self._pass, "pool/phase": self._index + 1, "pool/epoch": self._epoch, **reward}

    def state_dict(self) -> dict[str, Any]:
        """Position in the curriculum, and its phases, which may have been rebuilt."""
        return {
            **super().state_dict(),
            "pass": self._pass,
            "phase": self._index,
            "drawn": self._drawn,
            "smoothed": self._smoothed,
            "best": self._best,
            "since_best": self._since_best,
            "finished": self.finished,
            "group_sizes": [phase.group_size for phase in self._phases],
            "rows": {str(index): phase.rows for index, phase in enumerate(self._phases)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        super().load_state_dict(state)
        self._phases = [Phase(size, state["rows"][str(index)]) for index, size in enumerate(state["group_sizes"])]
        self._pass = state["pass"]
        self._show(state["phase"])
        self._drawn, self._since_best = state["drawn"], state["since_best"]
        self._smoothed, self._best, self.finished = state["smoothed"], state["best"], state["finished"]


def _check(phases: Sequence[Phase], prompts: int) -> None:
    """Check that there are phases, each with distinct prompts of the pool.

    Raises:
        UserError: There are none, or one is invalid.
    """
    if not phases:
        raise UserError("a phased pool has no phases; make a profile that leaves prompts to train on")
    for number, phase in enumerate(phases, 1):
        if not len(phase.rows):
            raise UserError(f"phase {number} (group size {phase.group_size}) has no prompts; leave it out")
        if phase.group_size < 1:
            raise UserError(f"phase {number} has group size {phase.group_size}; give at least 1")
        if len(np.unique(phase.rows)) < len(phase.rows) or not 0 <= phase.rows.min() <= phase.rows.max() < prompts:
            raise UserError(
                f"phase {number} (group size {phase.group_size}) names a prompt twice, or one that the pool of "
                f"{prompts} prompts lacks; make the profile with the pool's own prompts"
            )
