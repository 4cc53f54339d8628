"""Totals of a recipe from its real scheduler, driven by a simulated policy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rekindle.config import Config
from rekindle.methods import build_scheduler
from rekindle.planning.belief import RateBelief
from rekindle.planning.pass_rates import Counts, Floats, PassRates
from rekindle.planning.plan_recipes import is_single
from rekindle.planning.simulated_policy import LearningPolicy, rise
from rekindle.planning.totals import Horizon, Totals
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.pools import POOLS
from rekindle.scheduling.profiling import Profile, ProfileKey
from rekindle.types import Group, Outcome

__all__ = ["Tally", "profile_for", "simulated_totals"]

OnPart = Callable[[float], None]
"""Called after each step with the part of the way that is gone; may raise to end the simulation."""


def simulated_totals(
    config: Config,
    belief: RateBelief,
    draw: int,
    gain: float,
    horizon: Horizon,
    prompts: int,
    on_part: OnPart = lambda _: None,
) -> Totals:
    """Totals of one simulated run.

    Args:
        config: The recipe.
        belief: Of the pool's success rates.
        draw: The draw of it that is true in this run; also the run's seed.
        gain: Rise of the ability in an update full of signal.
        horizon: Where it ends; sGPO's epoch is one pass over its phases.
        prompts: Of the pool.
        on_part: Progress.

    Raises:
        ProfileError: The recipe needs a profile that leaves it something to train on.
    """
    rng = np.random.default_rng((draw, 0x51))
    cells = belief.drawn_cells(prompts, rng)
    policy = LearningPolicy(belief.drawn_rates(draw, cells, rng), config.train.temperature, seed=draw)
    config = config.model_copy(update={"train": config.train.model_copy(update={"seed": draw})})
    profile = profile_for(belief.rates, cells) if POOLS[config.pool.kind].needs_profile else None
    scheduler = build_scheduler(config, map(str, range(prompts)), profile)
    tally = Tally(config, policy, gain, belief.rates.sampled_tokens[cells])
    version = 0
    while (gone := tally.part_of(horizon)) < 1:
        if horizon.groups is not None and scheduler.pool.metrics().get("pool/pass", 1) > 1:
            break
        on_part(gone)
        while (request := scheduler.ask()) is not None:
            scheduler.tell(request.id, policy.play(request))
        groups = scheduler.take()
        if groups is None:
            break
        version += 1
        policy.learn(tally.trained(groups))
        scheduler.advance(version)
        tally.recorded(scheduler.drain_records())
    return tally.totals


def profile_for(rates: PassRates, cells: Counts) -> Profile:
    """The counts of a pool's prompts as a profile."""
    unknown = np.zeros(len(cells), np.int64)
    return Profile(
        key=ProfileKey("", "", 1.0, 1),
        task_ids=[str(row) for row in range(len(cells))],
        successes=rates.successes[cells],
        samples=rates.samples[cells],
        generated_tokens=unknown,
        prompt_tokens=unknown,
    )


@dataclass(slots=True)
class Tally:
    """Totals of a run so far.

    Attributes:
        config: The recipe.
        policy: The simulated policy.
        gain: Rise of the ability in an update full of signal.
        lengths: [prompts] mean sampled tokens of a rollout.
        totals: [1] each.
    """

    config: Config
    policy: LearningPolicy
    gain: float
    lengths: Floats
    totals: Totals

    def __init__(self, config: Config, policy: LearningPolicy, gain: float, lengths: Floats) -> None:
        self.config, self.policy, self.gain, self.lengths = config, policy, gain, lengths
        self.totals = Totals.zeros(1)

    def part_of(self, horizon: Horizon) -> float:
        """How much of the way is gone."""
        totals = self.totals
        return float(np.max(horizon.part(totals.groups, totals.rollouts, totals.steps.item())))

    def recorded(self, records: Sequence[GroupRecord]) -> None:
        """Count the groups that a step rolled out."""
        outcomes = {one.request.row: one.outcome for one in records}  # a topped-up group has several records
        found = list(outcomes.values())
        totals = self.totals
        totals.steps += 1
        totals.groups += len(found)
        totals.all_wrong += found.count(Outcome.ALL_WRONG)
        totals.all_correct += found.count(Outcome.ALL_CORRECT)
        sizes = np.array([one.request.n for one in records])
        totals.rollouts += sizes.sum()
        totals.sampled_tokens += self.lengths[[one.request.row for one in records]] @ sizes

    def trained(self, groups: Iterable[Group]) -> float:
        """Count the groups of an update; return by how much it raises the ability."""
        totals, signal = self.totals, 0.0
        for group in groups:
            rows, variance = self._learns(group)
            totals.rows += rows
            totals.variance += variance
            if group.outcome is Outcome.MIXED:
                totals.trained += 1
                signal += 1
            elif len(group.rollouts) == 1:
                signal += 4 * variance
        amount = self.gain * float(rise(signal / self.config.train.groups_per_step))
        totals.ability += amount
        return amount

    def _learns(self, group: Group) -> tuple[int, float]:
        """Rollouts with an advantage, and the sum of their squared distances from their mean."""
        size = len(group.rollouts)
        if size == 1 and is_single(self.config):
            request = group.request
            rate = self.policy.rate(request.row, request.version, request.temperature)
            return 1, rate * (1 - rate)
        if group.outcome is not Outcome.MIXED:
            return (size if self._without_signal(group) else 0), 0.0
        right = group.successes()
        if self.config.subset.kind != "off" and size > self.config.subset.size:
            half = self.config.subset.size // 2
            kept = min(right, max(half, self.config.subset.size - (size - right)))
            size, right = self.config.subset.size, kept
        return size, right * (size - right) / size

    def _without_signal(self, group: Group) -> bool:
        """Whether the recipe gives a group with equal rewards an advantage."""
        again = self.config.reactivation
        if self.config.advantage.zero_variance_scale > 0:
            return True
        if again.kind == "off" or group.outcome is not Outcome.ALL_CORRECT:
            return False
        return again.groups != "raised" or group.request.temperature > self.config.train.temperature
