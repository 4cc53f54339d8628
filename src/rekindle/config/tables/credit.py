"""Tables of who gets credit: from rewards to advantages, and the loss of a token."""

from typing import Annotated, Literal

from rekindle.config.conditions import having, on
from rekindle.config.keys import OneOf, Table, key
from rekindle.config.tables.rollouts import HEATED
from rekindle.config.tables.search import PLAYS_SEARCH
from rekindle.learning.aggregation import AGGREGATIONS
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.losses import LOSSES

__all__ = ["AdvantageTable", "LossTable", "ReactivationTable", "SubsetTable"]


CHOSEN = on("subset.kind", "max_variance", "balanced")


class AdvantageTable(Table):
    """How rewards become advantages."""

    estimator: Annotated[str, OneOf(ESTIMATORS)] = key("grpo", "advantage of a rollout")
    baseline_strength: float = key(
        4.0,
        "visits that the batch's mean reward counts for beside the prompt's own record",
        ge=0,
        only=on("advantage.estimator", "shrunk_baseline"),
    )
    zero_variance_scale: float = key(
        0.0, "advantage, per nat of a token's entropy, of groups without signal (RL-ZVP); 0 is off", ge=0
    )
    negative_keep_ratio: float = key(
        1.0,
        "part of the tokens of a rollout with a negative advantage, the least likely, that learn; 1 is all",
        gt=0,
        le=1,
    )


class LossTable(Table):
    """The loss of a token, and how token losses become that of a batch."""

    kind: Annotated[str, OneOf(LOSSES)] = key("ppo_clip", "loss of a token")
    clip_low: float = key(
        0.2,
        "how far the ratio may fall below 1 for a negative advantage",
        gt=0,
        lt=1,
        only=on("loss.kind", *having(LOSSES, "reads_clip_low")),
    )
    clip_high: float = key(0.2, "how far the ratio may rise above 1 for a positive advantage", gt=0)
    aggregation: Annotated[str, OneOf(AGGREGATIONS)] = key(
        "group_token_mean", "weight of a token's loss in that of the batch"
    )
    old_logprobs: Literal["auto", "engine", "recompute"] = key(
        "auto",
        "denominator of the ratio",
        values={
            "auto": "the current policy where it is the one that sampled and makes one optimizer step, else the engine",
            "engine": "the log-probabilities that the engine sampled with",
            "recompute": "those of the policy before the update, by a forward pass more",
        },
    )
    off_temperature: Literal["tempered", "importance", "ignore"] = key(
        "tempered",
        "log-probabilities of rollouts that were sampled at a raised temperature",
        only=HEATED,
        values={
            "tempered": "at their own temperature",
            "importance": "at train.temperature, with an importance weight",
            "ignore": "at train.temperature, without a weight (biased)",
        },
    )
    importance_cap: float = key(
        2.0, "greatest importance weight of a token", gt=0, only=on("loss.off_temperature", "importance")
    )
    kl_coefficient: float = key(0.0, "weight of the KL to the start policy, in nats a token; 0 is off", ge=0)
    tool_tokens: Literal["masked", "trained"] = key(
        "masked",
        "what search results are to the loss",
        only=PLAYS_SEARCH,
        values={"masked": "not trained on", "trained": "trained on as if sampled: a control that shows the harm"},
    )


class ReactivationTable(Table):
    """ERPO's RA: a signal for groups that are all correct although their temperature was raised."""

    kind: Literal["off", "virtual_failure", "constant"] = key(
        "off",
        "where their advantage comes from",
        only=HEATED,
        values={
            "off": "they have none",
            "virtual_failure": "from the comparison with one failure more, which has no tokens",
            "constant": "it is `constant`",
        },
    )
    constant: float = key(0.25, "advantage of every rollout", gt=0, only=on("reactivation.kind", "constant"))
    decay: bool = key(
        False,
        "divide by 1 + streak at the highest temperature",
        only=on("reactivation.kind", "virtual_failure", "constant"),
    )


class SubsetTable(Table):
    """Train on some of a group's rollouts."""

    kind: Literal["off", "max_variance", "balanced"] = key(
        "off",
        "which rollouts are trained on",
        values={
            "off": "all",
            "max_variance": "those of the most different rewards (PODS)",
            "balanced": "half right and half wrong (Reinforce-Ada)",
        },
    )
    size: int = key(4, "rollouts of a group that are trained on", ge=2, only=CHOSEN)
    baseline: Literal["selected", "all"] = key(
        "selected",
        "rollouts whose rewards advantages are computed from",
        only=CHOSEN,
        values={"selected": "those that are trained on", "all": "all of the group"},
    )
