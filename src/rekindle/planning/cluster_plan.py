"""Plan of recipes on a cluster: throughput, staleness, waste and memory, in simulated time with the real scheduler."""

import gc
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rekindle.methods import build_scheduler
from rekindle.planning.belief import RateBelief
from rekindle.planning.cluster import ClusterSettings, Measured, run
from rekindle.planning.plan_recipes import Arm
from rekindle.planning.simulated_policy import LearningPolicy
from rekindle.planning.simulation import Tally, profile_for
from rekindle.planning.totals import Totals
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import TaskIds
from rekindle.scheduling.pools import POOLS
from rekindle.types import Fate, Group, GroupRequest, Rollout

__all__ = ["ClusterArm", "ClusterPlan", "plan_on_cluster"]

WASTED = (Fate.RECYCLED, Fate.RETIRED, Fate.EXCESS, Fate.EXPIRED, Fate.FAILED)
"""Fates of rollouts that are in no update."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """A cluster to plan for.

    Attributes:
        settings: Of the cluster.
        lags: Values of ``train.max_off_policy_steps``.
        steps: Updates of each plan.
    """

    settings: ClusterSettings
    lags: tuple[int, ...]
    steps: int


@dataclass(frozen=True, slots=True)
class ClusterArm:
    """A recipe on a cluster.

    Attributes:
        arm: The recipe.
        lag: ``train.max_off_policy_steps``.
        measured: The run.
        totals: Of the run.
        trained_an_hour: Groups with signal in updates, an hour.
        rollouts_an_hour: Rollouts, an hour.
        wasted: Share of the rollouts that are in no update.
        age: Mean age of trained groups, in updates.
        oldest: Largest age.
        scheduler_share: CPU seconds of the scheduler per second of the run.
        peak_bytes: Most memory of this process so far.
    """

    arm: Arm
    lag: int
    measured: Measured
    totals: Totals
    trained_an_hour: float
    rollouts_an_hour: float
    wasted: float
    age: float
    oldest: int
    scheduler_share: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class _Learner:
    """The simulated policy as a player of a cluster."""

    policy: LearningPolicy
    tally: Tally

    def play(self, request: GroupRequest, tokens: Sequence[float]) -> list[Rollout]:
        return self.policy.play(request)

    def update(self, groups: Sequence[Group]) -> None:
        self.policy.learn(self.tally.trained(groups))

    def record(self, records: Sequence[GroupRecord]) -> None:
        self.tally.recorded(records)


def plan_on_cluster(
    arm: Arm,
    lag: int,
    belief: RateBelief,
    prompts: int,
    gain: float,
    cluster: ClusterPlan,
    ids: TaskIds,
    on_step: Callable[[int], bool] = lambda _: True,
) -> ClusterArm:
    """One recipe with one number of steps ahead.

    Args:
        arm: The recipe.
        lag: ``train.max_off_policy_steps``.
        belief: Of the pool's success rates; its first draw is taken as true.
        prompts: Of the pool.
        gain: Rise of the ability in an update full of signal.
        cluster: The cluster, and the number of updates.
        ids: [prompts] of the prompts, shared by all plans.
        on_step: Called after each update; False ends the plan there.
    """
    settings = cluster.settings
    rng = np.random.default_rng((settings.seed, 0xC1))
    cells = belief.drawn_cells(prompts, rng)
    train = arm.config.train.model_copy(update={"max_off_policy_steps": lag, "seed": settings.seed})
    config = arm.config.model_copy(update={"train": train})
    profile = profile_for(belief.rates, cells) if POOLS[config.pool.kind].needs_profile else None
    policy = LearningPolicy(belief.drawn_rates(0, cells, rng), train.temperature, seed=settings.seed)
    scheduler = build_scheduler(config, ids, profile)
    del cells
    lengths = np.broadcast_to(np.float64(settings.mean_tokens), prompts)
    learner = _Learner(policy, Tally(config, policy, gain, lengths))
    gc.collect()
    gc.freeze()
    measured = run(scheduler, settings, learner, cluster.steps, on_step)
    gc.unfreeze()
    return _summed(arm, lag, measured, learner.tally.totals)


def _summed(arm: Arm, lag: int, measured: Measured, totals: Totals) -> ClusterArm:
    seconds, rollouts = sum(measured.seconds), sum(measured.rollouts.values())
    groups = sum(measured.ages.values())
    scale = 1 if sys.platform == "darwin" else 1024
    return ClusterArm(
        arm=arm,
        lag=lag,
        measured=measured,
        totals=totals,
        trained_an_hour=3600 * float(totals.trained[0]) / seconds,
        rollouts_an_hour=3600 * rollouts / seconds,
        wasted=sum(measured.rollouts[fate] for fate in WASTED) / rollouts,
        age=sum(age * number for age, number in measured.ages.items()) / max(1, groups),
        oldest=max(measured.ages, default=0),
        scheduler_share=sum(measured.cpu) / seconds,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale,
    )
