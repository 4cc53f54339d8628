"""The claim of ERPO."""

from claims.claim import Arm, Claim, Finding, Setting, Value
from claims.recycling import OWN_START, REAL, TOY

BASE = "base=dapo"
ARMS = {
    "DAPO": Arm("dapo"),
    "ERPO": Arm("erpo", (BASE,)),
    "virtual failure alone": Arm("erpo", (BASE, "heating.delta=0", "reactivation.groups=all_correct")),
    "raised temperature alone": Arm("erpo", (BASE, "reactivation.kind=off")),
    "GRPO": Arm("grpo"),
}
ON_GRPO = "ERPO on GRPO"
"""Added after the other arms had been seen, on the toy and on SmolLM2: is it the updates that ERPO lacks there?"""
COLUMNS = (
    "lowest_late",
    "all_correct_quarters[0]",
    "all_correct_quarters[-1]",
    "mixed_quarters[-1]",
    "hot",
    "revived",
    "signal_after_solved",
    "entropy_quarters[0]",
    "entropy_quarters[-1]",
)


def _ahead(setting: str, arm: str, baseline: str = "DAPO") -> Finding:
    key = "accuracy@rollouts"
    return Finding(f"{arm} ends above {baseline} at equal rollouts", setting, Value(arm, key), Value(baseline, key))


def _signal(setting: str) -> Finding:
    key = "signal_after_solved"
    words = "a raised temperature brings signal back to solved prompts, beyond what they have without it"
    return Finding(words, setting, Value("raised temperature alone", key), Value("DAPO", key))


ERPO = Claim(
    name="erpo",
    title="ERPO: prompts that are always solved",
    arxiv="2511.04800",
    says=(
        "Prompts that are always solved are sampled at a temperature that rises with every such visit, and a group "
        "that stays all correct gets one virtual failure. So they have signal again, and the accuracy late in "
        "training is above that of DAPO, which filters them out."
    ),
    settings={
        "toy_easy": Setting(
            "the toy with words of 2 to 9 letters, most of which are soon always solved",
            TOY,
            ARMS,
            cpu_seconds=22,
            settings=(OWN_START, "task.params.max_length=9", "task.pool_size=1024", "train.rollouts=30000"),
            columns=COLUMNS,
            fast=("DAPO", "ERPO"),
        ),
        "smollm2_easy": Setting(
            "SmolLM2 on sums, products and differences of one digit and sums of two and one",
            REAL,
            {**ARMS, ON_GRPO: Arm("erpo")},
            cpu_seconds=400,
            settings=('task.params.kinds=["1+1", "1*1", "1-1", "2+1"]', "eval.prompts=96", "task.pool_size=320"),
            seeds=3,
            columns=COLUMNS,
        ),
        "toy": Setting(
            "the toy with words of 2 to 14 letters, trained for long",
            TOY,
            {**ARMS, ON_GRPO: Arm("erpo")},
            cpu_seconds=39,
            settings=(OWN_START, "train.rollouts=45056"),
            columns=COLUMNS,
        ),
    },
    findings=(
        *(
            finding
            for setting in ("toy_easy", "smollm2_easy", "toy")
            for finding in (
                _signal(setting),
                *(_ahead(setting, arm) for arm in ("ERPO", "virtual failure alone", "raised temperature alone")),
                _ahead(setting, "ERPO", "GRPO"),
            )
        ),
        *(_ahead(setting, ON_GRPO, "GRPO") for setting in ("smollm2_easy", "toy")),
    ),
    headlines=(
        "a raised temperature brings signal back to solved prompts, beyond what they have without it",
        "ERPO ends above DAPO at equal rollouts",
        "ERPO ends above GRPO at equal rollouts",
    ),
)
