"""The selective pool (GRESO): skips most prompts without signal at their last visits before they are rolled out."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools.weighted import WeightedPool
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Outcome, UserError

__all__ = ["SelectivePool"]


class SelectivePool(WeightedPool):
    """GRESO (arXiv 2506.02177): every prompt in turn, with random skips of prompts without signal at the last visits.

    A candidate is rolled out with probability max(p^z, explore), where z is its number of trailing visits without
    signal and p is ``p_easy`` if the last was all correct, ``p_hard`` if all wrong; z = 0 is never skipped. Skipped
    prompts are consumed like drawn ones until the pool is reset. After each step p_easy falls by ``step`` if the share
    of graded groups that were all correct is above its target, else it rises; p_hard follows the share of all-wrong
    groups. (The paper gives the total target; its division between easy and hard is ours.)

    Bounded: a prompt is a candidate at most once per draw. If all candidates are skipped, the first of them are taken,
    so a draw is empty only where the pool is.

    Args:
        history: History of all prompts.
        explore: Smallest probability of a rollout; 1 never skips, which equals CyclingPool.
        target: Target share of groups without signal.
        easy_part: Part of the target for all-correct groups.
        start: First value of both p.
        step: Change of p after a step.
        least: Smallest p.
        most: Largest p.
    """

    consumes_on_draw = True

    def __init__(
        self,
        history: History,
        *,
        explore: float = 0.01,
        target: float = 0.25,
        easy_part: float = 1 / 3,
        start: float = 0.5,
        step: float = 0.01,
        least: float = 0.05,
        most: float = 0.95,
    ) -> None:
        remedy = "give a probability, e.g. that of GRESO (arXiv 2506.02177)"
        check_bounds(remedy, ge=0, le=1, explore=explore, target=target, easy_part=easy_part, step=step)
        if not 0 <= least <= start <= most <= 1:
            raise UserError(f"the chances {least} <= {start} <= {most} (least, start, most) must be ordered in [0, 1]")
        super().__init__(history, consumed_weight=0.0)
        self.p_easy = self.p_hard = start
        self._explore, self._step, self._range = explore, step, (least, most)
        self._targets = {Outcome.ALL_CORRECT: target * easy_part, Outcome.ALL_WRONG: target * (1 - easy_part)}
        self._skipping = self._skipped = 0

    def draw(self, count: int, rng: np.random.Generator, in_flight: Collection[int] = ()) -> Rows:
        """Draw candidates and skip some, until there are ``count`` or no more."""
        kept, skipped = np.empty(0, np.int64), np.empty(0, np.int64)
        seen = 0
        while (wanted := count - len(kept)) > 0:
            # Rounds grow, but never across a reset, because surplus candidates return to the epoch they were drawn in.
            number = max(wanted, min(2 * seen, self.live))
            excluded = {*in_flight, *kept.tolist(), *skipped.tolist()}
            candidates = self._consume(self._by_weight(rng), number, excluded)
            passed = self._passed(candidates, rng)
            end = _end_of(wanted, passed)
            self._rows.set(candidates[end:], 1.0)
            kept = np.append(kept, candidates[:end][passed[:end]])
            skipped = np.append(skipped, candidates[:end][~passed[:end]])
            seen += end
            if len(candidates) < number:
                break
        if not len(kept):
            kept, skipped = skipped[:count], skipped[count:]
        self._skipping += len(skipped)
        return kept

    def _passed(self, rows: Rows, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        chance = self.rollout_chance(rows)
        # Draw no random numbers where none can matter, so that the stream equals that of plain cycling.
        if (chance >= 1).all():
            return np.ones(len(rows), np.bool_)
        return rng.random(len(rows)) < chance

    def rollout_chance(self, rows: Rows) -> npt.NDArray[np.float64]:
        """[rows] probability that a candidate is rolled out."""
        p = np.where(self.history.correct_streak[rows] > 0, self.p_easy, self.p_hard)
        chance: npt.NDArray[np.float64] = p ** self.history.unanimous_streak[rows].astype(np.float64)
        return np.maximum(chance, self._explore)

    def update(self, records: Sequence[GroupRecord]) -> None:
        """Adjust both p towards the target shares."""
        self._skipped, self._skipping = self._skipping, 0
        outcomes = [one.outcome for one in records if one.outcome is not None]
        if outcomes:
            self.p_easy = self._moved(self.p_easy, outcomes, Outcome.ALL_CORRECT)
            self.p_hard = self._moved(self.p_hard, outcomes, Outcome.ALL_WRONG)

    def _moved(self, p: float, outcomes: Sequence[Outcome], kind: Outcome) -> float:
        above = outcomes.count(kind) / len(outcomes) > self._targets[kind]
        least, most = self._range
        return min(max(p - self._step if above else p + self._step, least), most)

    def metrics(self) -> dict[str, float]:
        """Number of prompts skipped in the last step, and both p."""
        return {"pool/skipped": self._skipped, "pool/p_easy": self.p_easy, "pool/p_hard": self.p_hard}

    def state_dict(self) -> dict[str, Any]:
        """State: resets, both p and the skip counts."""
        names = {"p_easy": self.p_easy, "p_hard": self.p_hard, "skipping": self._skipping, "skipped": self._skipped}
        return {**super().state_dict(), **names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        super().load_state_dict(state)
        self.p_easy, self.p_hard = float(state["p_easy"]), float(state["p_hard"])
        self._skipping, self._skipped = int(state["skipping"]), int(state["skipped"])


def _end_of(wanted: int, passed: npt.NDArray[np.bool_]) -> int:
    """Number of candidates until ``wanted`` have passed; all of them where fewer pass."""
    positions = np.flatnonzero(passed)
    return int(positions[wanted - 1]) + 1 if len(positions) >= wanted else len(passed)
