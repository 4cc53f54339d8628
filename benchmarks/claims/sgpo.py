"""The claim of sGPO."""

from claims.claim import Arm, Claim, Finding, Setting, Value
from claims.recycling import OWN_START, REAL, TOY

BASE = "base=dapo"
HARD_ORDER = "phases.order=hard_first"
EIGHT = ("sizes.minimum=8", "sizes.maximum=8")
UNFILTERED = ("profile.trivial_above=1", "profile.unsolved_share=1")
EIGHT_OF_32 = ("train.group_size=8", "train.groups_per_step=32")
UNSOLVED_KEPT = "filter of solved prompts alone"
"""Added after the other arms had been seen on the toy: is it the unsolved prompts that the filter should have kept?"""
SIZES_ALONE = "sizes alone, by the counts of the run"
ARMS = {
    "DAPO, groups of 8": Arm("dapo", EIGHT_OF_32),
    "sGPO, the curriculum twice": Arm("sgpo", (BASE, "train.groups_per_step=32")),
    "sGPO, the curriculum once": Arm("sgpo", (BASE, "train.groups_per_step=32", "phases.repeats=1")),
    UNSOLVED_KEPT: Arm("sgpo", (BASE, "train.groups_per_step=32", *EIGHT, "profile.unsolved_share=1")),
    "filter alone": Arm("sgpo", (BASE, "train.groups_per_step=32", *EIGHT)),
    SIZES_ALONE: Arm("dapo", ("train.groups_per_step=32", "sizes.rule=inverse_success")),
    "sizes and order alone": Arm("sgpo", (BASE, "train.groups_per_step=32", *UNFILTERED)),
    "sGPO, hard to easy": Arm("sgpo", (BASE, "train.groups_per_step=32", HARD_ORDER)),
    "sGPO on GRPO": Arm("sgpo", ("train.groups_per_step=32",)),
    "GRPO, groups of 8": Arm("grpo", EIGHT_OF_32),
}
EQUAL_STEPS = ("train.groups_per_step=32", "phases.constant=rollouts")
SAME_ORDERS = {
    "sGPO, equal rollouts a step": (BASE, *EQUAL_STEPS),
    "sGPO on GRPO, equal rollouts a step": EQUAL_STEPS,
}
"""Added after the arms before had been seen on SmolLM2: is it the order, or the updates that an order makes?"""
REAL_ARMS = {
    **{arm: one for arm, one in ARMS.items() if arm not in ("sGPO on GRPO", UNSOLVED_KEPT)},
    **{arm: Arm("sgpo", settings) for arm, settings in SAME_ORDERS.items()},
    **{f"{arm}, hard to easy": Arm("sgpo", (*settings, HARD_ORDER)) for arm, settings in SAME_ORDERS.items()},
}
COLUMNS = ("flops@target", "flops_paper@target", "tokens@target", "flops_paper", "profile_tokens", "lowest_late")
ACCOUNTS = {"flops": "our account", "flops_paper": "the paper's account"}


def _cheaper(setting: str, arm: str) -> tuple[Finding, ...]:
    base = "DAPO, groups of 8"
    return tuple(
        Finding(
            f"{arm} reaches what DAPO ends with at fewer FLOPs, profile included, by {words}",
            setting,
            Value(arm, f"{axis}@target"),
            Value(base, f"{axis}@target"),
            wished="below",
            as_ratio=True,
        )
        for axis, words in ACCOUNTS.items()
    )


def _unfiltered(setting: str) -> Finding:
    key = "accuracy@rollouts"
    return Finding(
        "sGPO ends higher without its filter",
        setting,
        Value("sizes and order alone", key),
        Value("sGPO, the curriculum twice", key),
    )


def _easy_first(setting: str, arm: str, turned: str) -> Finding:
    words = "easy to hard ends above hard to easy"
    of = "" if arm not in SAME_ORDERS else f": {arm}"
    return Finding(f"{words}{of}", setting, Value(arm, "accuracy@rollouts"), Value(turned, "accuracy@rollouts"))


SGPO = Claim(
    name="sgpo",
    title="sGPO: one profile decides filter, sizes and order",
    arxiv="2606.08854",
    says=(
        "Eight samples of every prompt with the initial policy decide which prompts stay, their group sizes and their "
        "order. To the accuracy of DAPO with groups of eight this takes 2.5 to 2.9 times less total compute, profile "
        "included; the filter makes 69 % of the saving, the sizes 31 %."
    ),
    settings={
        "toy_small": Setting(
            "the toy, a pool of 512 that is visited often",
            TOY,
            ARMS,
            cpu_seconds=30,
            settings=(OWN_START, "task.pool_size=512", "train.rollouts=30000"),
            columns=COLUMNS,
            fast=("DAPO, groups of 8", "sGPO, the curriculum twice"),
        ),
        "smollm2": Setting(
            "SmolLM2 on mixed arithmetic, a pool of 256",
            REAL,
            REAL_ARMS,
            cpu_seconds=400,
            settings=("task.pool_size=256", "train.rollouts=6144"),
            seeds=3,
            columns=COLUMNS,
        ),
    },
    findings=(
        *_cheaper("toy_small", "sGPO, the curriculum twice"),
        Finding(
            "the filter ends higher where it keeps all prompts that were never solved",
            "toy_small",
            Value(UNSOLVED_KEPT, "accuracy@rollouts"),
            Value("filter alone", "accuracy@rollouts"),
        ),
        _unfiltered("toy_small"),
        *_cheaper("toy_small", "filter alone"),
        *_cheaper("toy_small", SIZES_ALONE),
        *_cheaper("toy_small", "sizes and order alone"),
        _easy_first("toy_small", "sGPO, the curriculum twice", "sGPO, hard to easy"),
        *(
            one
            for arm in ("sGPO, the curriculum twice", "filter alone", SIZES_ALONE)
            for one in _cheaper("smollm2", arm)
        ),
        _unfiltered("smollm2"),
        _easy_first("smollm2", "sGPO, the curriculum twice", "sGPO, hard to easy"),
        *(_easy_first("smollm2", arm, f"{arm}, hard to easy") for arm in SAME_ORDERS),
    ),
    headlines=(
        "sGPO, the curriculum twice reaches what DAPO ends with at fewer FLOPs, profile included, by our account",
        "easy to hard ends above hard to easy",
    ),
)
