"""Tables of rollouts: group sizes, temperatures, top-ups, refill and sampling limits."""

from typing import Literal

from pydantic import model_validator

from rekindle.config.conditions import fact, given, having, on
from rekindle.config.defaults import Case
from rekindle.config.facts import fewest_and_most
from rekindle.config.keys import Table, key
from rekindle.config.tables.model import READY_MODEL
from rekindle.scheduling.pools import POOLS

__all__ = ["EngineTable", "HeatingTable", "RefillTable", "SizesTable", "TopUpTable"]

POOL_SIZES = on("pool.kind", *having(POOLS, "sizes_groups"))
SIZED = on("sizes.rule", "inverse_success", "knapsack") | POOL_SIZES
HEATING_ON = given("heating.delta", 0.05)
SEVERAL = fact(
    "a group may have several rollouts",
    lambda config: fewest_and_most(config)[1] > 1,
    train__group_size=4,
).but("single rollouts carry no signal, set train.group_size = 4")


class SizesTable(Table):
    """Group sizes: rollouts per prompt."""

    rule: Literal["fixed", "inverse_success", "knapsack"] = key(
        "fixed",
        "rule for the group size, p being the prompt's estimated success rate",
        values={
            "fixed": "train.group_size for every prompt",
            "inverse_success": "2^round(log2 1/p) (sGPO's rule)",
            "knapsack": "the best distribution of train.group_size rollouts per prompt on average (Knapsack RL)",
        },
    )
    minimum: int = key(2, "fewest rollouts of a group", ge=1, only=SIZED)
    maximum: int = key(8, "most rollouts of a group", ge=1, only=SIZED)
    rounding: Literal["floor", "nearest", "ceil"] = key(
        "floor",
        "rounding of log2(1/p)",
        only=on("sizes.rule", "inverse_success") | POOL_SIZES,
        values={"floor": "down, to the smaller group", "nearest": "to the nearest", "ceil": "up, to the larger group"},
    )

    @model_validator(mode="after")
    def _ordered(self) -> "SizesTable":
        if self.minimum > self.maximum:
            raise ValueError(f"sizes.minimum = {self.minimum} is above sizes.maximum = {self.maximum}; exchange them")
        return self


class HeatingTable(Table):
    """ERPO's history tracker: prompts that are always solved are sampled at a raised temperature."""

    delta: float = key(0.0, "rise of the temperature per all-correct visit; 0 is off", ge=0)
    maximum: float = key(1.2, "highest temperature", gt=0, only=HEATING_ON)
    on_signal: Literal["reset", "step_down", "hold"] = key(
        "step_down",
        "the prompt's streak of all-correct visits after a visit with signal",
        only=(HEATING_ON | on("reactivation.decay", True)) & SEVERAL,
        values={"reset": "0", "step_down": "one less", "hold": "kept"},
    )


class TopUpTable(Table):
    """Further rollouts for a prompt after its first ones are judged."""

    kind: Literal["off", "mixed", "balance"] = key(
        "off",
        "which prompts get further rollouts",
        values={
            "off": "none",
            "mixed": "those with signal in the first rollouts get `more`, once (SPEED-RL)",
            "balance": "all, until half of subset.size is right and half wrong (Reinforce-Ada)",
        },
    )
    more: int = key(20, "further rollouts of a group with signal", ge=1, only=on("top_up.kind", "mixed"))
    max_rounds: int = key(
        4, "rounds of train.group_size rollouts, the first included", ge=2, only=on("top_up.kind", "balance")
    )


class RefillTable(Table):
    """DAPO's dynamic sampling: draw again inside the step until enough groups carry signal."""

    max_rounds: int = key(0, "extra rounds per step; 0 is off")
    on_exhausted: Literal["train", "stop"] = key(
        "train",
        "behaviour when the rounds are used up and groups are missing",
        only=given("refill.max_rounds", 4),
        values={"train": "the update has fewer groups", "stop": "the run ends"},
    )

    @model_validator(mode="after")
    def _bounded(self) -> "RefillTable":
        if self.max_rounds < 0:
            raise ValueError(
                f"refill.max_rounds = {self.max_rounds} would be a refill without a bound, which hangs when no prompt "
                "has signal; set refill.max_rounds = 4"
            )
        return self


class EngineTable(Table):
    """Sampling limits."""

    max_new_tokens: int = key(
        24, "sampled tokens of a rollout, all turns together", ge=1, cases=(Case(READY_MODEL, 512),)
    )
    top_p: float = key(1.0, "sample from the likeliest tokens that together have this probability; 1: all", gt=0, le=1)
    min_p: float = key(0.0, "leave out tokens less likely than this fraction of the likeliest; 0: none", ge=0, lt=1)
    stop: tuple[str, ...] = key((), "texts that end a completion, in addition to the end token")
    max_rows: int = key(256, "rollouts decoded at the same time", ge=1)
