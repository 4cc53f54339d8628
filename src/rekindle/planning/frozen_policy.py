"""The null control of recycling: the share of recycled groups when the policy never changes.

A recycled share alone is no evidence of learning. Fresh prompts run out, and a small group misjudges a prompt's success
rate, so prompts are recycled even with a frozen policy (arXiv 2606.10709 does not report it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.group_records import step_counts
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import Rollout

__all__ = ["RecycledShares", "frozen_run", "posterior_rates", "recycled_share"]


@dataclass(frozen=True, slots=True)
class RecycledShares:
    """Shares over the last quarter of the steps.

    Attributes:
        recycled: (rescued hard + rescued easy) / trained groups.
        rescued_easy: Share of the rescued groups whose first visit was all correct; nan when none was rescued.
        all_correct: Share of all-correct groups among those requested.
    """

    recycled: float
    rescued_easy: float
    all_correct: float


def posterior_rates(
    successes: Sequence[int], attempts: Sequence[int], prompts: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """[prompts] plausible success rates of a frozen policy, given the counts of its first step.

    Each prompt gets the posterior of one measured prompt, drawn at random: p ~ Beta(s + 1/2, n - s + 1/2).
    """
    pick = rng.integers(0, len(successes), prompts)
    s, n = np.asarray(successes, float)[pick], np.asarray(attempts, float)[pick]
    return rng.beta(s + 0.5, n - s + 0.5)


def frozen_run(
    scheduler: Scheduler, rates: npt.NDArray[np.float64], steps: int, rng: np.random.Generator
) -> list[dict[str, int]]:
    """Run ``scheduler`` for ``steps`` with Bernoulli(rates[row]) rewards; return the counts of every step."""
    counts = []
    for version in range(1, steps + 1):
        while (request := scheduler.ask()) is not None:
            wins = rng.random(request.n) < rates[request.row]
            scheduler.tell(request.id, [_REWARDED[bool(win)] for win in wins])
        if scheduler.take() is None:
            break
        scheduler.advance(version)
        counts.append(step_counts(scheduler.drain_records()))
    return counts


def recycled_share(counts: Sequence[Mapping[str, int]]) -> RecycledShares:
    """Shares over the last quarter of ``counts`` (at least one step)."""
    late = counts[-max(1, len(counts) // 4) :]

    def total(key: str) -> int:
        return sum(step[key] for step in late)

    hard, easy = total("groups/rescued_hard"), total("groups/rescued_easy")
    return RecycledShares(
        recycled=_ratio(hard + easy, total("groups/trained")),
        rescued_easy=_ratio(easy, hard + easy),
        all_correct=_ratio(total("groups/all_correct"), total("groups/asked")),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


_REWARDED = {
    win: Rollout(token_ids=[0, 0], loss_mask=[False, True], logprobs=[0.0, 0.0], reward=float(win))
    for win in (False, True)
}
