"""Tables of credit assignment: advantages, loss, reactivation and subsets."""

from typing import Annotated, Literal

from rekindle.config.conditions import Condition, fact, given, having, on
from rekindle.config.keys import OneOf, Table, key
from rekindle.config.tables.rollouts import HEATING_ON
from rekindle.config.tables.search import PLAYS_SEARCH
from rekindle.learning.aggregation import AGGREGATIONS
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.estimators.statistics import EPSILON, Deviation
from rekindle.learning.losses import LOSSES

__all__ = ["AdvantageTable", "LossTable", "OverlongTable", "ReactivationTable", "SubsetTable"]

REACTIVATED = on("reactivation.kind", "virtual_failure", "constant")
PENALIZED = on("overlong.kind", "penalty")
CHOSEN = on("subset.kind", "max_variance", "balanced")
SEVERAL_MINIBATCHES = fact(
    "a batch is divided into minibatches", lambda config: config.optimizer.minibatches > 1, optimizer__minibatches=4
)


def taken(parameter: str) -> Condition:
    """Condition: the estimator has this parameter."""
    return on("advantage.estimator", *(name for name, entry in ESTIMATORS.items() if parameter in entry.parameters))


class AdvantageTable(Table):
    """Advantage estimation."""

    estimator: Annotated[str, OneOf(ESTIMATORS)] = key("grpo", "advantage estimator")
    deviation: Deviation = key(
        "population",
        "standard deviation that advantages are divided by",
        only=taken("deviation"),
        values={
            "population": "sum of squares / n",
            "sample": "sum of squares / (n - 1), as in TRL, verl and OpenRLHF",
        },
    )
    epsilon: float = key(EPSILON, "added to the standard deviation; TRL adds 1e-4", gt=0, only=taken("epsilon"))
    baseline_strength: float = key(
        4.0,
        "weight of the batch's mean reward in the baseline, in visits of the prompt",
        ge=0,
        only=taken("baseline_strength"),
    )
    split: Literal["success", "batch_mean"] = key(
        "success",
        "rewards that count as positive",
        only=taken("split"),
        values={
            "success": "1, of rewards that are 0 or 1",
            "batch_mean": "those of at least the batch's mean, for real-valued rewards",
        },
    )
    count_over: Literal["minibatch", "batch"] = key(
        "minibatch",
        "where positive and negative rollouts are given the same total weight",
        only=taken("count_over") & SEVERAL_MINIBATCHES,
        values={"minibatch": "in every optimizer step", "batch": "in the batch, before it is divided"},
    )
    zero_variance_scale: float = key(
        0.0, "advantage, per nat of a token's entropy, of groups without signal (RL-ZVP); 0 is off", ge=0
    )
    negative_scale: float = key(
        1.0, "factor of negative advantages; 1 changes nothing, 0 trains on positive ones only", ge=0
    )
    negative_keep_ratio: float = key(
        1.0,
        "share of tokens that keep a negative advantage, the least likely of each rollout; 1 keeps all",
        gt=0,
        le=1,
        only=given("advantage.negative_scale", 1.0),
    )


class LossTable(Table):
    """The loss of a token, and the aggregation of token losses over a batch."""

    kind: Annotated[str, OneOf(LOSSES)] = key("ppo_clip", "policy loss of a token")
    clip_low: float = key(
        0.2,
        "clip range below 1, for negative advantages",
        gt=0,
        lt=1,
        only=on("loss.kind", *having(LOSSES, "reads_clip_low")),
    )
    clip_high: float = key(0.2, "clip range above 1, for positive advantages", gt=0)
    dual_clip: float | None = key(
        None,
        "largest ratio for negative advantages (dual clip, arXiv 1912.09729), e.g. 3.0; absent: no bound",
        gt=1,
        only=on("loss.kind", *having(LOSSES, "reads_dual_clip")),
    )
    aggregation: Annotated[str, OneOf(AGGREGATIONS)] = key(
        "group_token_mean", "weight of a token's loss in the loss of the batch"
    )
    old_logprobs: Literal["auto", "engine", "recompute"] = key(
        "auto",
        "denominator of the ratio",
        values={
            "auto": "the current policy if it sampled the batch and makes one optimizer step, else as `engine`",
            "engine": "log-probabilities of the engine at sampling time",
            "recompute": "log-probabilities of the policy before the update, by a further forward pass",
        },
    )
    off_temperature: Literal["tempered", "importance", "ignore"] = key(
        "tempered",
        "temperature of the log-probabilities of rollouts sampled at a raised temperature",
        only=HEATING_ON,
        values={
            "tempered": "their sampling temperature",
            "importance": "train.temperature, with an importance weight",
            "ignore": "train.temperature, without a weight (biased)",
        },
    )
    importance_cap: float = key(
        2.0, "largest importance weight of a token", gt=0, only=on("loss.off_temperature", "importance")
    )
    kl_coefficient: float = key(
        0.0, "weight of the KL divergence from the start policy, nats per token; 0 is off", ge=0
    )
    kl: Literal["k3", "k3_corrected"] = key(
        "k3",
        "estimate of the KL divergence from the start policy, ref; both have the value KL(policy || ref)",
        only=given("loss.kl_coefficient", 0.01),
        values={
            "k3": "its gradient is that of KL(ref || policy) (GRPO's paper, verl's k3)",
            "k3_corrected": "times the ratio; its gradient is that of KL(policy || ref) (TRL, verl's k3+)",
        },
    )
    tis_cap: float = key(
        0.0,
        "largest importance weight of the trainer's policy over the engine's (TIS), e.g. 2.0; 0: no weights",
        ge=0,
    )
    tool_tokens: Literal["masked", "trained"] = key(
        "masked",
        "tokens of search results in the loss",
        only=PLAYS_SEARCH,
        values={"masked": "excluded", "trained": "included as if sampled; wrong by design, for control runs"},
    )


class ReactivationTable(Table):
    """ERPO's RA: an advantage for all-correct groups."""

    kind: Literal["off", "virtual_failure", "constant"] = key(
        "off",
        "source of the advantage",
        values={
            "off": "no advantage",
            "virtual_failure": "comparison with one added failure, which has no tokens",
            "constant": "the value of `constant`",
        },
    )
    groups: Literal["raised", "all_correct"] = key(
        "raised",
        "which all-correct groups get it",
        only=REACTIVATED,
        values={
            "raised": "those at a raised temperature (ERPO)",
            "all_correct": "all, those at train.temperature too (RA alone, without heating)",
        },
    )
    constant: float = key(
        0.25, "advantage of every rollout of the group", gt=0, only=on("reactivation.kind", "constant")
    )
    decay: bool = key(False, "divide the advantage by 1 + streak at the highest temperature", only=REACTIVATED)


class SubsetTable(Table):
    """Training on a subset of each group's rollouts."""

    kind: Literal["off", "max_variance", "balanced"] = key(
        "off",
        "which rollouts are trained on",
        values={
            "off": "all",
            "max_variance": "those with the largest variance of rewards (PODS)",
            "balanced": "half right and half wrong (Reinforce-Ada)",
        },
    )
    size: int = key(4, "rollouts of a group that are trained on", ge=2, only=CHOSEN)
    baseline: Literal["selected", "all"] = key(
        "selected",
        "rollouts whose rewards enter the advantages",
        only=CHOSEN,
        values={"selected": "the rollouts trained on", "all": "all of the group"},
    )


class OverlongTable(Table):
    """Rollouts that ``engine.max_new_tokens`` cuts, or nearly (DAPO, arXiv 2503.14476); rewards and outcomes stay."""

    kind: Literal["off", "masked", "penalty"] = key(
        "off",
        "handling of overlong rollouts",
        values={
            "off": "they are as all others",
            "masked": "truncated ones are left out of the loss; their rewards count in the statistics of their group",
            "penalty": "the last `buffer` tokens lower the reward that advantages are computed from, down to -factor",
        },
    )
    buffer: int | None = key(
        None,
        "tokens before engine.max_new_tokens in which the penalty grows; absent: a fifth of it (DAPO)",
        ge=1,
        only=PENALIZED,
    )
    factor: float = key(1.0, "penalty of a truncated rollout", gt=0, only=PENALIZED)
