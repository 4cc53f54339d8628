"""The claim of single rollouts with negative token filtering."""

from claims.claim import Arm, Claim, Finding, Setting, Value
from claims.recycling import OWN_START, REAL, TOY

ALL_TOKENS = "advantage.negative_keep_ratio=1"
QUARTER, POSITIVES = "C-RF, negatives times 0.25", "C-RF, positives only"
ARMS = {
    "GRPO": Arm("grpo"),
    "C-RF": Arm("c_rf_ntf", (ALL_TOKENS,)),
    "C-RF, filter": Arm("c_rf_ntf"),
    QUARTER: Arm("c_rf_ntf", (ALL_TOKENS, "advantage.negative_scale=0.25")),
    POSITIVES: Arm("c_rf_ntf", (ALL_TOKENS, "advantage.negative_scale=0")),
    "REINFORCE++": Arm("reinforce_pp_ntf", (ALL_TOKENS,)),
    "REINFORCE++, filter": Arm("reinforce_pp_ntf"),
}
RATES = {name: arm for name, arm in ARMS.items() if name not in (QUARTER, POSITIVES)}
COLUMNS = (
    "lowest_late",
    "accuracy@flops",
    "entropy_quarters[0]",
    "entropy_quarters[-1]",
    "length_quarters[-1]",
    "truncated_quarters[-1]",
)
LOW_COLUMNS = ("start", *COLUMNS, "grad_norm_quarters[0]", "grad_norm_quarters[-1]")
FILTERED = {name: ARMS[name] for name in ("GRPO", "C-RF, filter", "REINFORCE++, filter")}
SINGLES = ("train.groups_per_step=128", "train.group_size=1")


def _above(setting: str, words: str, arm: str, baseline: str, key: str = "accuracy@rollouts") -> Finding:
    return Finding(words, setting, Value(arm, key), Value(baseline, key))


def _stable(setting: str) -> tuple[Finding, ...]:
    """The filter keeps what the plain method loses."""
    key = "lowest_late"
    return (
        _above(setting, "with the filter C-RF falls less deep late in the run", "C-RF, filter", "C-RF", key),
        _above(setting, "with the filter REINFORCE++ falls less deep", "REINFORCE++, filter", "REINFORCE++", key),
        _above(setting, "C-RF with the filter ends above GRPO at equal rollouts", "C-RF, filter", "GRPO"),
        _above(setting, "and at equal FLOPs", "C-RF, filter", "GRPO", "accuracy@flops"),
    )


def _beyond_controls(setting: str, *controls: str) -> tuple[Finding, ...]:
    """The filter beside simpler rules."""
    return tuple(_above(setting, f"the filter ends above {arm}", "C-RF, filter", arm) for arm in controls)


def _single(arm: Arm) -> Arm:
    """The arm with 128 rollouts a step, as many as 32 groups of 4."""
    return arm if arm.recipe == "grpo" else Arm(arm.recipe, (*arm.settings, *SINGLES))


NTF = Claim(
    name="ntf",
    title="Single rollouts and the negative token filter",
    arxiv="2606.17250",
    says=(
        "With one rollout per prompt REINFORCE++ and C-RF crash. Where only the least likely tenth of the tokens of a "
        "failed rollout is penalised they are stable, and end near GRPO with sixteen rollouts. Smaller negative "
        "advantages are stable as well; positives only forget. At low success rates C-RF learns where REINFORCE++ does "
        "not."
    ),
    settings={
        "toy_rate_1e-3": Setting(
            "the toy at twice its rate and twice its length",
            TOY,
            ARMS,
            cpu_seconds=64,
            settings=(OWN_START, "train.learning_rate=1e-3", "train.rollouts=45056"),
            columns=COLUMNS,
        ),
        "smollm2": Setting(
            "SmolLM2 on mixed arithmetic, 24 steps",
            REAL,
            {name: _single(arm) for name, arm in ARMS.items()},
            cpu_seconds=700,
            settings=("train.rollouts=3072",),
            seeds=3,
            columns=COLUMNS,
        ),
        "toy_low": Setting(
            "the toy with words of 10 to 14 letters, one of ten solved at the start",
            TOY,
            FILTERED,
            cpu_seconds=37,
            settings=(OWN_START, "task.params.min_length=10"),
            columns=LOW_COLUMNS,
        ),
        "toy_lowest": Setting(
            "the toy with words of 17 to 20 letters, one of twenty solved at the start",
            TOY,
            FILTERED,
            cpu_seconds=60,
            settings=(
                OWN_START,
                "task.params.min_length=17",
                "task.params.max_length=20",
                "engine.max_new_tokens=32",
            ),
            columns=LOW_COLUMNS,
        ),
        "toy_rate_5e-4": Setting(
            "the toy at its rate",
            TOY,
            RATES,
            cpu_seconds=32,
            settings=(OWN_START,),
            columns=COLUMNS,
            fast=("C-RF", "C-RF, filter"),
        ),
        "toy_rate_2e-3": Setting(
            "the toy at four times its rate",
            TOY,
            RATES,
            cpu_seconds=36,
            settings=(OWN_START, "train.learning_rate=2e-3"),
            columns=COLUMNS,
        ),
    },
    findings=(
        *_stable("toy_rate_1e-3"),
        *_beyond_controls("toy_rate_1e-3", POSITIVES, QUARTER),
        *_stable("smollm2"),
        *_beyond_controls("smollm2", POSITIVES, QUARTER),
        *(
            _above(setting, "C-RF ends above REINFORCE++, both filtered", "C-RF, filter", "REINFORCE++, filter")
            for setting in ("toy_low", "toy_lowest")
        ),
        *_stable("toy_rate_5e-4"),
        *_stable("toy_rate_2e-3"),
    ),
    headlines=(
        "with the filter C-RF falls less deep late in the run",
        "C-RF with the filter ends above GRPO at equal rollouts",
    ),
)
