"""The claim of query recycling."""

from collections.abc import Mapping

from claims.claim import Arm, Claim, Finding, Setting, Value

TOY, REAL, HARD = "benchmarks/claims/toy.toml", "benchmarks/claims/smollm2.toml", "benchmarks/claims/smollm2_hard.toml"
SEARCH = "examples/search_agent.toml"
OWN_START = "warm_start.seed={seed}"
LARGER_WORLD = (
    OWN_START,
    "task.params.entities=2000",
    "task.params.seed=11",
    "task.pool_size=3424",
    "train.rollouts=27392",
    "eval.every=4",
    "eval.prompts=256",
)
"""Five times the entities of the example, and a world that nothing was chosen on; GRPO visits a question twice."""
REFUSED = (1, 5, 6)
"""Starts of the larger world that have not learned to copy from documents, or to answer questions of 4 hops."""
ARMS = {
    "GRPO": Arm("grpo"),
    "Bounded DAPO": Arm("bounded_dapo"),
    "DAPO": Arm("dapo"),
    "recycling": Arm("recycle", ("pool.reset_below=0",)),
    "soft recycling": Arm("soft_recycle", ("pool.reset_below=0",)),
}
AS_MANY_UPDATES = "recycling, as many updates as GRPO"
"""Recycling asks for twice the groups that it trains on, so at equal rollouts it has half of GRPO's updates."""
BY_CHANCE = "recycling, drawn by the chance of signal"
"""Recycling in which prompts that were always solved hardly come back."""
IN_SHORT = ("GRPO", "Bounded DAPO", "recycling")
COLUMNS = (
    "lowest_late",
    "mixed_quarters[-1]",
    "batch_quarters[-1]",
    "recycled_share",
    "frozen_share",
    "rescued_easy_share",
    "frozen_rescued_easy_share",
    "flips_up",
    "flips_down",
    "pool_live",
    "pool_resets",
)


def _with_half(arms: Mapping[str, Arm], groups: int) -> dict[str, Arm]:
    """The arms and recycling with a batch of half of GRPO's groups."""
    return {**arms, AS_MANY_UPDATES: Arm("recycle", ("pool.reset_below=0", f"train.groups_per_step={groups}"))}


def _ahead(setting: str, arm: str, baseline: str, cost: str = "rollouts") -> Finding:
    words = f"{arm} ends above {baseline} at equal {cost}"
    return Finding(words, setting, Value(arm, f"accuracy@{cost}"), Value(baseline, f"accuracy@{cost}"))


def _beyond_null(setting: str) -> tuple[Finding, ...]:
    """The shares of recycled prompts beside those of a frozen policy."""
    return tuple(
        Finding(words, setting, Value("recycling", key), Value("recycling", null))
        for words, key, null in (
            ("more of a late batch is recycled than with a frozen policy", "recycled_share", "frozen_share"),
            ("more of it was too easy at first", "rescued_easy_share", "frozen_rescued_easy_share"),
            ("more of the late visits are all correct", "all_correct_share", "frozen_all_correct_share"),
        )
    )


RECYCLING = Claim(
    name="recycling",
    title="Query recycling",
    arxiv="2606.10709",
    says=(
        "Prompts without signal go back into the pool instead of being thrown away. Where a large pool is visited "
        "about twice, this ends above GRPO and above the same oversampling without recycling, at equal rollouts. Late "
        "in training three quarters of a batch are prompts that had no signal at an earlier visit."
    ),
    settings={
        "toy_few": Setting(
            "the toy, two visits of a pool of 6,000",
            TOY,
            {
                **_with_half(ARMS, 32),
                BY_CHANCE: Arm("posterior_recycle", ("priority.consume=trained", "train.oversample=2")),
            },
            cpu_seconds=45,
            settings=(OWN_START, "task.pool_size=6000", "train.rollouts=45056"),
            columns=COLUMNS,
            fast=("GRPO", "recycling"),
        ),
        "smollm2_few": Setting(
            "SmolLM2 on mixed arithmetic, two visits of a pool of 560",
            REAL,
            _with_half(ARMS, 16),
            cpu_seconds=320,
            seeds=3,
            columns=COLUMNS,
            fast=("GRPO",),
        ),
        "toy_many": Setting(
            "the toy, eleven visits of a pool of 512",
            TOY,
            {
                **{name: arm for name, arm in ARMS.items() if name != "recycling"},
                "recycling, reset below a quarter": Arm("recycle"),
            },
            cpu_seconds=18,
            settings=(OWN_START, "task.pool_size=512"),
            columns=COLUMNS,
        ),
        "toy_many_no_reset": Setting(
            "the toy, the same pool without a reset",
            TOY,
            {name: ARMS[name] for name in ("GRPO", "recycling")},
            cpu_seconds=12,
            settings=(OWN_START, "task.pool_size=512"),
            columns=("rollouts", *COLUMNS),
        ),
        "smollm2_hard": Setting(
            "SmolLM2 on arithmetic that is mostly all wrong, two visits of a pool of 560",
            HARD,
            _with_half({arm: ARMS[arm] for arm in IN_SHORT}, 16),
            cpu_seconds=340,
            seeds=3,
            columns=COLUMNS,
        ),
        "search": Setting(
            "the embedded search world with 2,000 entities, two visits of a pool of 3,424",
            SEARCH,
            _with_half({arm: ARMS[arm] for arm in IN_SHORT}, 32),
            cpu_seconds=84,
            settings=LARGER_WORLD,
            refused=REFUSED,
            columns=COLUMNS,
        ),
    },
    findings=(
        *(_ahead("toy_few", "recycling", arm) for arm in ("GRPO", "Bounded DAPO", "DAPO")),
        _ahead("toy_few", "recycling", "GRPO", "tokens"),
        _ahead("toy_few", AS_MANY_UPDATES, "GRPO"),
        *(_ahead("toy_few", BY_CHANCE, arm) for arm in ("recycling", "Bounded DAPO")),
        *_beyond_null("toy_few"),
        *(_ahead("smollm2_few", "recycling", arm) for arm in ("GRPO", "Bounded DAPO", "DAPO")),
        *_beyond_null("smollm2_few"),
        _ahead("smollm2_few", AS_MANY_UPDATES, "GRPO"),
        *(_ahead("smollm2_hard", "recycling", arm) for arm in ("GRPO", "Bounded DAPO")),
        _ahead("smollm2_hard", AS_MANY_UPDATES, "GRPO"),
        *(_ahead("search", "recycling", arm) for arm in ("GRPO", "Bounded DAPO")),
        _ahead("search", AS_MANY_UPDATES, "GRPO"),
        *_beyond_null("search"),
        _ahead("toy_many", "recycling, reset below a quarter", "GRPO"),
        _ahead("toy_many", "recycling, reset below a quarter", "Bounded DAPO"),
        _ahead("toy_many", "soft recycling", "recycling, reset below a quarter"),
        _ahead("toy_many_no_reset", "recycling", "GRPO"),
    ),
    headlines=(
        "recycling ends above GRPO at equal rollouts",
        "recycling ends above Bounded DAPO at equal rollouts",
        "more of a late batch is recycled than with a frozen policy",
    ),
)
