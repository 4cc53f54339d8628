"""Tables of prompt selection: pool, priorities, posterior, skipping, profile and phases."""

from typing import Annotated, ClassVar, Literal

from rekindle.config.conditions import Condition, absent, fact, given, having, on
from rekindle.config.keys import OneOf, OptionalPath, Table, key
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.pools import POOLS

__all__ = ["PhasesTable", "PoolTable", "PosteriorTable", "PriorityTable", "ProfileTable", "SkipTable"]

RECYCLING = on("pool.kind", "recycling")
PRIORITIZED = on("pool.kind", "prioritized")
PHASED = on("pool.kind", "phased")
CONSUMES_TRAINED = RECYCLING | (PRIORITIZED & on("priority.consume", "trained"))
SIGNAL_CHANCE = on("priority.score", "signal_chance")
ESTIMATES = (
    on("pool.kind", *having(POOLS, "estimates"))
    | on("advantage.estimator", *having(ESTIMATORS, "reads_history"))
    | on("sizes.rule", "inverse_success", "knapsack")
)
"""A pool, an estimator or a group size reads the prompts' success rates."""
NEEDS_PRIOR = ESTIMATES.but(
    "phases.reprofile reads counts and no prior, set a pool, estimator or group size that estimates success rates"
)
HALF_LIFE = given("posterior.half_life", 0.1, suggest=False)


class PoolTable(Table):
    """Which prompts may be drawn, and when they come back."""

    kind: Annotated[str, OneOf(POOLS)] = key("cycling", "rule of drawing prompts and of removing them until a reset")
    alpha: float = key(
        0.0,
        "draw weight of a trained prompt (soft recycling); a fresh one has 1",
        ge=0,
        lt=1,
        only=CONSUMES_TRAINED,
    )
    on_empty: Literal["reset", "stop"] = key(
        "reset",
        "behaviour when no prompt is live",
        only=RECYCLING,
        values={"reset": "all prompts come back", "stop": "the run ends"},
    )
    reset_below: float = key(
        0.0, "live fraction of the prompts below which all come back", ge=0, lt=1, only=CONSUMES_TRAINED
    )


class PriorityTable(Table):
    """How a pool of kind "prioritized" weighs prompts (posterior recycling, MoPPS, SPO)."""

    read_when: ClassVar[Condition | None] = PRIORITIZED

    score: Literal["signal_chance", "uncertainty"] = key(
        "signal_chance",
        "score of a prompt, p being its estimated success rate",
        values={
            "signal_chance": "posterior probability that a group of train.group_size carries signal",
            "uncertainty": "sqrt(p (1 - p)) + floor",
        },
    )
    estimate: Literal["mean", "sample"] = key(
        "mean",
        "how the posterior of p enters the score",
        only=SIGNAL_CHANCE,
        values={"mean": "expectation over the posterior", "sample": "value at one Thompson sample from it"},
    )
    select: Literal["weighted", "best"] = key(
        "weighted",
        "how prompts are drawn",
        values={"weighted": "at random, by weight", "best": "those of the highest weight, ties at random"},
    )
    floor: float = key(0.05, "exploration: smallest weight of a prompt", ge=0, le=1)
    sharpness: float = key(1.0, "exponent of the weight; 0 draws uniformly", ge=0, only=SIGNAL_CHANCE)
    consume: Literal["none", "drawn", "trained"] = key(
        "none",
        "which prompts leave until a reset",
        values={
            "none": "none",
            "drawn": "those drawn, as in cycling",
            "trained": "those trained on with signal, as in recycling",
        },
    )


class PosteriorTable(Table):
    """Posterior of a prompt's success rate: Beta counts of its visits, and their discount."""

    read_when: ClassVar[Condition | None] = (ESTIMATES | on("phases.reprofile", True)).but(
        'set a method that estimates success rates, e.g. pool.kind = "prioritized"'
    )

    prior_successes: float = key(
        0.5,
        "prior count of successes of every prompt",
        ge=0,
        only=NEEDS_PRIOR,
    )
    prior_failures: float = key(
        0.5,
        "prior count of failures of every prompt",
        ge=0,
        only=NEEDS_PRIOR,
    )
    half_life: float | None = key(
        None, "nats of policy movement (mean |change of log p|) that halve a count; absent: movement is not read", gt=0
    )
    least_discount: float = key(
        0.0,
        "smallest factor of the counts at a visit",
        ge=0,
        le=1,
        only=(
            HALF_LIFE
            | fact(
                "posterior.least_discount = posterior.most_discount, a constant factor",
                lambda config: config.posterior.least_discount == config.posterior.most_discount,
            )
        ).but("it bounds the discount by posterior.half_life, set posterior.half_life"),
    )
    most_discount: float = key(1.0, "largest factor of the counts at a visit", gt=0, le=1)
    probe_rows: int = key(
        16, "rollouts scored again after an update to measure the policy's movement", ge=1, only=HALF_LIFE
    )


class SkipTable(Table):
    """GRESO: skipping of prompts before they are rolled out."""

    read_when: ClassVar[Condition | None] = on("pool.kind", "selective")

    target: float = key(0.25, "target share of groups without signal", ge=0, le=1)
    easy_part: float = key(1 / 3, "part of the target for all-correct groups", ge=0, le=1)
    explore: float = key(0.01, "smallest probability of a rollout; 1 never skips", ge=0, le=1)


class ProfileTable(Table):
    """A profiling pass with the start policy; its counts also initialize the posterior."""

    path: OptionalPath = key(
        None,
        "file written by rekindle profile; absent: the run makes a profile where it needs one",
        only=(PHASED | ESTIMATES).but('set a method that reads a profile, e.g. pool.kind = "phased" or "prioritized"'),
    )
    samples: int = key(
        8,
        "rollouts per prompt, where the run makes the profile",
        ge=1,
        only=PHASED & absent("profile.path").but("profile.path names a ready profile, remove profile.path"),
    )
    trivial_above: float = key(
        0.75, "prompts with a higher success rate are removed; 1 keeps all", gt=0, le=1, only=PHASED
    )
    unsolved_share: float = key(
        0.1, "share of the never solved prompts that is in every phase", ge=0, le=1, only=PHASED
    )
    force: bool = key(
        False,
        "accept a profile of another model, verifier, temperature or length",
        only=given("profile.path", "PROFILE", suggest=False),
    )


class PhasesTable(Table):
    """sGPO's curriculum, easy to hard."""

    read_when: ClassVar[Condition | None] = PHASED

    max_epochs: int = key(1, "passes over a phase's prompts", ge=1)
    repeats: int = key(2, "passes over all phases", ge=1)
    constant: Literal["prompts", "rollouts"] = key(
        "prompts",
        "what all steps have as many of, while the group size grows",
        values={
            "prompts": "train.groups_per_step prompts (the paper's)",
            "rollouts": "train.groups_per_step x train.group_size rollouts",
        },
    )
    patience: int | None = key(
        None, "steps without a gain after which a phase ends early; absent: only its epochs end it", ge=1
    )
    min_gain: float = key(
        0.005,
        "rise of the smoothed reward that counts as a gain",
        ge=0,
        only=given("phases.patience", 10, suggest=False),
    )
    smoothing: float = key(0.1, "weight of a step in the smoothed reward", gt=0, le=1)
    after_last: Literal["continue", "stop"] = key(
        "continue",
        "behaviour when the last phase is over",
        values={"continue": "its prompts keep cycling", "stop": "the run ends"},
    )
    order: Literal["easy_first", "hard_first"] = key(
        "easy_first",
        "order of the phases",
        values={
            "easy_first": "from small groups to large ones",
            "hard_first": "from large ones to small ones, a control",
        },
        only=on("phases.reprofile", False),
    )
    reprofile: bool = key(False, "select and size the later phases by the counts of the run, without further rollouts")
