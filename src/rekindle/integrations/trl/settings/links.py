"""Arguments of TRL and the keys of ours that mean the same, as data.

TRL's ``loss_type`` says two things at once: the aggregation, and for ``cispo`` the loss of a token. CISPO's bound is
absolute in TRL (``epsilon_high = 5.0``) and relative here (``loss.clip_high = 4.0``).
"""

from collections.abc import Mapping
from typing import Any

from rekindle.config import Config
from rekindle.integrations.settings.links import Link, same
from rekindle.integrations.trl.settings.arguments import Arguments

__all__ = ["AGGREGATION", "LINKS", "LOSS_TYPE", "OWN_LOSSES", "wished_loss"]

AGGREGATION: Mapping[str, str] = {
    "dapo": "token_mean",
    "grpo": "sequence_mean",
    "dr_grpo": "constant_length",
    "bnpo": "token_mean",
    "cispo": "token_mean",
    "vespo": "token_mean",
    "sapo": "sequence_mean",
    "luspo": "constant_length",
}
"""Our aggregation by ``loss_type``; of TRL's own losses the one with the same units, which estimators read."""
LOSS_TYPE: Mapping[str, str] = {"token_mean": "dapo", "sequence_mean": "grpo", "constant_length": "dr_grpo"}
"""``loss_type`` of an aggregation."""
OWN_LOSSES = ("bnpo", "sapo", "luspo", "cispo", "vespo")
"""Values of ``loss_type`` that are more than an aggregation."""
ESTIMATOR: Mapping[str, str] = {"group": "grpo", "none": "dr_grpo"}
SCALE: Mapping[str, str] = {ours: theirs for theirs, ours in ESTIMATOR.items()}


def wished_loss(arguments: Arguments) -> str:
    """The loss of a token that the arguments ask for, by our name."""
    if arguments.loss_type == "cispo":
        return "cispo"
    return "gspo" if arguments.importance_sampling_level == "sequence" else "ppo_clip"


def _loss(arguments: Arguments) -> str:
    """The loss of a token; with one optimizer step a generation every ratio is 1, and all are ``ppo_clip``."""
    return "ppo_clip" if arguments.updates_per_generation == 1 else wished_loss(arguments)


def _clip_high(arguments: Arguments) -> float:
    high = arguments.epsilon if arguments.epsilon_high is None else arguments.epsilon_high
    return round(high - 1, 12) if arguments.loss_type == "cispo" else high


def _clips(config: Config, arguments: Arguments) -> dict[str, Any]:
    """Both clip bounds, as TRL takes the upper one from the lower one where it is not set."""
    loss = config.loss
    if (loss.clip_low, loss.clip_high) == (arguments.epsilon, _clip_high(arguments)):
        return {}
    if loss.kind == "cispo":
        return {"epsilon_high": 1 + loss.clip_high}
    return {"epsilon": loss.clip_low, "epsilon_high": loss.clip_high}


def _loss_type(config: Config, arguments: Arguments) -> dict[str, Any]:
    if config.loss.aggregation == AGGREGATION.get(arguments.loss_type):
        return {}
    return {"loss_type": LOSS_TYPE[config.loss.aggregation]}


def _kind(config: Config, arguments: Arguments) -> dict[str, Any]:
    kind = config.loss.kind
    if kind in ("ppo_clip", wished_loss(arguments)):
        return {}
    return {"loss_type": "cispo"} if kind == "cispo" else {"importance_sampling_level": "sequence"}


def _group_size(config: Config, arguments: Arguments) -> dict[str, Any]:
    """The group size; evaluation keeps the one that it had."""
    if config.train.group_size == arguments.num_generations:
        return {}
    kept = arguments.num_generations_eval or arguments.num_generations
    return {"num_generations": config.train.group_size, "num_generations_eval": kept}


def _scale(config: Config, arguments: Arguments) -> dict[str, Any]:
    scale = SCALE.get(config.advantage.estimator, arguments.scale_rewards)
    return {} if scale == arguments.scale_rewards else {"scale_rewards": scale}


def _unmasked(config: Config, arguments: Arguments) -> dict[str, Any]:
    """TRL's mask of truncated completions is off: our credit leaves them out."""
    return {"mask_truncated_completions": False} if arguments.mask_truncated_completions else {}


def _kl(arguments: Arguments) -> str:
    return "k3_corrected" if arguments.use_bias_correction_kl else "k3"


def _corrects(config: Config, arguments: Arguments) -> dict[str, Any]:
    changed = config.loss.kl_coefficient and config.loss.kl != _kl(arguments)
    return {"use_bias_correction_kl": config.loss.kl == "k3_corrected"} if changed else {}


LINKS: tuple[Link[Arguments], ...] = (
    Link("num_generations", "train.group_size", lambda arguments: arguments.num_generations, _group_size),
    same("temperature", "train.temperature"),
    Link("loss_type", "loss.aggregation", lambda arguments: AGGREGATION.get(arguments.loss_type), _loss_type),
    Link("importance_sampling_level", "loss.kind", _loss, _kind),
    Link("epsilon", "loss.clip_low", lambda arguments: arguments.epsilon, _clips),
    Link("epsilon_high", "loss.clip_high", _clip_high, _clips),
    same("delta", "loss.dual_clip"),
    same("beta", "loss.kl_coefficient"),
    Link("use_bias_correction_kl", "loss.kl", _kl, _corrects),
    Link("scale_rewards", "advantage.estimator", lambda arguments: ESTIMATOR.get(arguments.scale_rewards), _scale),
    Link(
        "mask_truncated_completions",
        "overlong.kind",
        lambda arguments: "masked" if arguments.mask_truncated_completions else "off",
        _unmasked,
    ),
)
"""Every argument that a key of a recipe can decide."""
