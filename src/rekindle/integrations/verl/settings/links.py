"""Settings of verl and the keys of ours that mean the same, as data.

verl names the aggregation and the loss of a token separately. Where the two differ from ours:

- ``token-mean`` counts the tokens of a mini-batch, ``seq-mean-token-mean`` its rows, as ours do.
- ``seq-mean-token-sum-norm`` divides by ``loss_scale_factor``, or by the width to which a micro-batch is padded where
  that is null. Ours always divides by the completion limit, so a recipe with ``constant_length`` sets the factor.
- ``seq-mean-token-sum`` and ``token-sum`` have no divisor of ours; estimators take the tokens as their units.
- ``vanilla`` bounds the ratio of negative advantages (``clip_ratio_c = 3.0``), ours where ``loss.dual_clip`` is set.
- ``cispo`` has a lower bound too, which ours has not: a recipe with it sets ``clip_ratio_low = 1.0``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rekindle.config import Config
from rekindle.integrations.settings.links import Link, same
from rekindle.integrations.verl.settings.step_shape import updates_per_step
from rekindle.integrations.verl.settings.values import ACTOR, ROLLOUT, Values

__all__ = [
    "AGGREGATION",
    "BY_WEIGHTS",
    "ESTIMATOR",
    "ESTIMATORS",
    "IS",
    "LINKS",
    "LOSS",
    "LOSS_MODE",
    "MODE_OF",
    "is_own_loss",
]

ESTIMATOR, BY_DEVIATION = "algorithm.adv_estimator", "algorithm.norm_adv_by_std_in_grpo"
LOSS_MODE, AGG_MODE, SCALE = f"{ACTOR}.policy_loss.loss_mode", f"{ACTOR}.loss_agg_mode", f"{ACTOR}.loss_scale_factor"
CLIP, LOW, HIGH = f"{ACTOR}.clip_ratio", f"{ACTOR}.clip_ratio_low", f"{ACTOR}.clip_ratio_high"
IS, CAP = (f"algorithm.rollout_correction.{name}" for name in ("rollout_is", "rollout_is_threshold"))
USE_KL, KL, KL_TYPE = f"{ACTOR}.use_kl_loss", f"{ACTOR}.kl_loss_coef", f"{ACTOR}.kl_loss_type"


def first_names(table: Mapping[str, str]) -> dict[str, str]:
    """The table the other way round; of several names with one of ours, the first."""
    return {ours: theirs for theirs, ours in reversed(list(table.items()))}


ESTIMATORS: Mapping[str, str] = MappingProxyType(
    {
        "grpo": "grpo",
        "grpo_vectorized": "grpo",
        "rloo": "rloo",
        "rloo_vectorized": "rloo",
        "reinforce_plus_plus": "batch_standardize",
        "reinforce_plus_plus_baseline": "reinforce_pp_baseline",
    }
)
"""Our estimator by verl's; ``grpo`` without the standard deviation is ``dr_grpo``."""
NAMES: Mapping[str, str] = {"dr_grpo": "grpo", **first_names(ESTIMATORS)}
AGGREGATION: Mapping[str, str] = MappingProxyType(
    {
        "token-mean": "token_mean",
        "seq-mean-token-mean": "sequence_mean",
        "seq-mean-token-sum-norm": "constant_length",
        "seq-mean-token-sum": "constant_length",
        "token-sum": "token_mean",
    }
)
"""Our aggregation by verl's; of those without one of ours, the one with the same units, which estimators read."""
MODE_OF: Mapping[str, str] = first_names(AGGREGATION)
BY_WEIGHTS = "group_token_mean"
"""Aggregation that verl has not: weights of the rollouts make it of verl's token-mean."""
LOSS: Mapping[str, str] = MappingProxyType({"vanilla": "ppo_clip", "gspo": "gspo", "cispo": "cispo"})
"""Our loss of a token by verl's; all others are verl's own."""
LOSS_OF: Mapping[str, str] = first_names(LOSS)
KL_KIND: Mapping[str, str] = {
    "low_var_kl": "k3",
    "k3": "k3",
    "low_var_kl+": "k3_corrected",
    "k3+": "k3_corrected",
}


def is_own_loss(values: Values) -> bool:
    """Whether the loss of a token is one that only verl has."""
    return values.at(LOSS_MODE) not in LOSS


def _estimator(values: Values) -> str | None:
    ours = ESTIMATORS.get(values.at(ESTIMATOR))
    return "dr_grpo" if ours == "grpo" and not values.at(BY_DEVIATION) else ours


def _estimators(config: Config, values: Values) -> dict[str, Any]:
    """The name of the estimator in verl, for the record of its trackers: the advantages are ours."""
    ours = config.advantage.estimator
    if ours == _estimator(values) or ours not in NAMES:
        return {}
    return {ESTIMATOR: NAMES[ours]} | ({BY_DEVIATION: ours == "grpo"} if NAMES[ours] == "grpo" else {})


def _loss(values: Values) -> str:
    """The loss of a token; where every ratio is 1, all are ``ppo_clip``."""
    return "ppo_clip" if updates_per_step(values) == 1 else LOSS.get(values.at(LOSS_MODE), "ppo_clip")


def _losses(config: Config, values: Values) -> dict[str, Any]:
    kind, theirs = config.loss.kind, LOSS.get(values.at(LOSS_MODE))
    if kind in ("ppo_clip", theirs):
        return {}
    return {LOSS_MODE: LOSS_OF[kind]} | ({LOW: 1.0} if kind == "cispo" else {})


def _clip(values: Values, side: str) -> Any:
    return values.at(CLIP) if values.at(side) is None else values.at(side)


def _low(config: Config, values: Values) -> dict[str, Any]:
    return {} if config.loss.clip_low == _clip(values, LOW) else {LOW: config.loss.clip_low}


def _high(config: Config, values: Values) -> dict[str, Any]:
    return {} if config.loss.clip_high == _clip(values, HIGH) else {HIGH: config.loss.clip_high}


def _aggregations(config: Config, values: Values) -> dict[str, Any]:
    ours = config.loss.aggregation
    if ours == AGGREGATION.get(values.at(AGG_MODE)):
        return {}
    if ours == BY_WEIGHTS:
        return {AGG_MODE: MODE_OF["token_mean"]}
    factor = {SCALE: config.engine.max_new_tokens} if ours == "constant_length" and not values.at(SCALE) else {}
    return {AGG_MODE: MODE_OF[ours], **factor}


def _coefficient(values: Values) -> float:
    return float(values.at(KL)) if values.at(USE_KL) else 0.0


def _coefficients(config: Config, values: Values) -> dict[str, Any]:
    ours = config.loss.kl_coefficient
    if ours == _coefficient(values):
        return {}
    return {USE_KL: True, KL: ours} if ours else {USE_KL: False}


def _kinds_of_kl(config: Config, values: Values) -> dict[str, Any]:
    """The name of the estimate of the KL divergence in verl; estimates that only it has stay."""
    theirs = values.at(KL_TYPE)
    changed = config.loss.kl_coefficient and config.loss.kl != KL_KIND.get(theirs, config.loss.kl)
    return {KL_TYPE: "k3+" if config.loss.kl == "k3_corrected" else "low_var_kl"} if changed else {}


def _cap(values: Values) -> float:
    """Largest weight of a token by the trainer's policy over the engine's; 0 where there is none."""
    return float(values.at(CAP)) if values.at(IS) == "token" else 0.0


def _caps(config: Config, values: Values) -> dict[str, Any]:
    ours = config.loss.tis_cap
    if ours == _cap(values):
        return {}
    return {IS: "token", CAP: ours} if ours else {IS: None}


def _nothing(config: Config, values: Values) -> dict[str, Any]:
    """No change: the other link of the key makes it."""
    return {}


LINKS: tuple[Link[Values], ...] = (
    same(f"{ROLLOUT}.n", "train.group_size"),
    same(f"{ROLLOUT}.temperature", "train.temperature"),
    Link(BY_DEVIATION, "advantage.estimator", _estimator, _nothing),
    Link(ESTIMATOR, "advantage.estimator", _estimator, _estimators),
    Link(LOSS_MODE, "loss.kind", _loss, _losses),
    Link(LOW, "loss.clip_low", lambda values: _clip(values, LOW), _low),
    Link(HIGH, "loss.clip_high", lambda values: _clip(values, HIGH), _high),
    same(f"{ACTOR}.clip_ratio_c", "loss.dual_clip"),
    Link(AGG_MODE, "loss.aggregation", lambda values: AGGREGATION.get(values.at(AGG_MODE)), _aggregations),
    Link(USE_KL, "loss.kl_coefficient", _coefficient, _nothing),
    Link(KL, "loss.kl_coefficient", _coefficient, _coefficients),
    Link(IS, "loss.tis_cap", _cap, _caps),
    Link(KL_TYPE, "loss.kl", lambda values: KL_KIND.get(values.at(KL_TYPE)), _kinds_of_kl),
)
"""Every setting that a key of a recipe can decide."""
