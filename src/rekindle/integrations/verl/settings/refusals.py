"""What a recipe cannot do on verl, and what contradicts it: one sentence each, with the remedy."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rekindle.choices import few
from rekindle.config import Config, ConfigError
from rekindle.config.facts import fewest_and_most, plays_itself
from rekindle.integrations.settings.group_shape import sizes_itself, sizing_rule
from rekindle.integrations.settings.links import contradicted
from rekindle.integrations.settings.paths import at, is_read
from rekindle.integrations.settings.refusing import refuse
from rekindle.integrations.settings.words import with_names
from rekindle.integrations.verl.settings.environments import not_played, with_environments
from rekindle.integrations.verl.settings.links import (
    BY_WEIGHTS,
    ESTIMATOR,
    ESTIMATORS,
    IS,
    LINKS,
    LOSS_MODE,
    MODE_OF,
    is_own_loss,
)
from rekindle.integrations.verl.settings.step_shape import updates_per_step
from rekindle.integrations.verl.settings.tables import NAMES, PLACES
from rekindle.integrations.verl.settings.values import ACTOR, ROLLOUT, V1, Values
from rekindle.learning.estimators import ESTIMATORS as ESTIMATORS_OF_OURS
from rekindle.learning.losses import LOSSES

ENTROPY = f"{ACTOR}.entropy_coeff"

__all__ = [
    "in_words_of_verl",
    "refuse_contradictions",
    "refuse_lag",
    "refuse_preset",
    "refuse_result",
    "refuse_single_rollouts",
    "refuse_sizes",
]


def refuse_preset(preset: Mapping[str, Any]) -> None:
    """Refuse a recipe that needs what verl has not.

    Raises:
        ConfigError: It does.
    """
    name = preset["recipe"]
    config = Config.model_validate_json(json.dumps(preset))
    for path in with_environments(PLACES, preset if plays_itself(config) else {}).without_a_place(config):
        raise ConfigError(
            f'recipe = "{name}" sets {path}, for which verl has no place; use rekindle train, or another recipe'
        )


def refuse_contradictions(
    chosen: Mapping[str, Any], tables: Mapping[str, Any], decided: set[str], values: Values
) -> None:
    """Refuse settings that were made and that say something else than the recipe.

    Args:
        chosen: The recipe's settings, with those of the tables over them.
        tables: Those that were given with it.
        decided: The keys that both decide.
        values: verl's settings.

    Raises:
        ConfigError: There are some.
    """
    refuse(_contradictions(chosen, tables, decided, values))
    refuse(_own_loss(chosen, decided, values))
    refuse(_too_few_steps(chosen, decided, values))


def _contradictions(
    chosen: Mapping[str, Any], tables: Mapping[str, Any], decided: set[str], values: Values
) -> Iterator[str]:
    """Settings that differ from what the recipe decides; ``adv_estimator=grpo`` is what every recipe begins from."""
    for link, ours in contradicted(LINKS, chosen, decided, values):
        if link.name == ESTIMATOR and ESTIMATORS.get(values.at(ESTIMATOR)) == "grpo":
            continue
        own = at(tables, link.path) is not None
        yield (
            f"{link.name}={values.at(link.name)} contradicts recipe {chosen['recipe']!r}, which has {link.path} = "
            f"{ours!r}; leave {link.name} out, or {f'remove rekindle.{link.path}' if own else 'choose another recipe'}"
        )


def _own_loss(chosen: Mapping[str, Any], decided: set[str], values: Values) -> Iterator[str]:
    """A loss of verl's own beside a recipe that decides the bounds of its ratio."""
    bounds = sorted(decided & {"loss.clip_low", "loss.clip_high", "loss.dual_clip"})
    if bounds and is_own_loss(values):
        yield (
            f"{LOSS_MODE}={values.at(LOSS_MODE)} is a loss of verl's own, and recipe {chosen['recipe']!r} sets "
            f"{few(bounds)}; leave {LOSS_MODE} out, or choose another recipe"
        )


def _too_few_steps(chosen: Mapping[str, Any], decided: set[str], values: Values) -> Iterator[str]:
    """GSPO and CISPO where every ratio is 1."""
    kind = str(chosen["loss"].get("kind"))
    needs = "loss.kind" in decided and kind in LOSSES and LOSSES[kind].needs_several_steps
    if needs and updates_per_step(values) == 1:
        fourth = max(1, values.at("data.train_batch_size") // 4)
        remedy = f"{ACTOR}.ppo_mini_batch_size={fourth} (a fourth of data.train_batch_size)"
        if values.mode == "separate_async":
            remedy = f"{ACTOR}.ppo_epochs=2, or another trainer mode"
        yield (
            f"recipe {chosen['recipe']!r} differs from grpo only after a first optimizer step on a batch, and verl "
            f"makes one of it; set {remedy}"
        )


def refuse_sizes(draft: Config, values: Values) -> None:
    """Refuse ``rollout.n`` beside a recipe that sizes groups itself.

    Raises:
        ConfigError: It is set.
    """
    size = f"{ROLLOUT}.n"
    if sizes_itself(draft) and values.is_set(size):
        raise ConfigError(
            f"{size}={values.at(size)} beside {sizing_rule(draft)} (recipe {draft.recipe!r}), which sizes groups; "
            f"leave {size} out"
        )


def refuse_single_rollouts(draft: Config, values: Values) -> None:
    """Refuse the default of ``rollout.n`` beside a recipe that compares rollouts of a prompt.

    Raises:
        ConfigError: A group would be one rollout.
    """
    estimator = draft.advantage.estimator
    needs_group = estimator in ESTIMATORS_OF_OURS and ESTIMATORS_OF_OURS[estimator].needs_group
    if needs_group and values.at(f"{ROLLOUT}.n") == 1 == fewest_and_most(draft)[1]:
        raise ConfigError(
            f"{ROLLOUT}.n=1 is one rollout of a prompt, and recipe {draft.recipe!r} compares several "
            f'(advantage.estimator = "{estimator}"); set {ROLLOUT}.n=8'
        )


def refuse_lag(draft: Config, values: Values) -> None:
    """Refuse steps that are sampled ahead in a mode that has none, or without a correction.

    Raises:
        ConfigError: ``train.max_off_policy_steps`` is above 0 there.
    """
    lag = f"train.max_off_policy_steps = {draft.train.max_off_policy_steps}"
    if draft.train.max_off_policy_steps and values.mode == "sync":
        raise ConfigError(
            f"{lag} samples steps ahead, and {V1}.trainer_mode=rekindle waits for every step; set "
            f"{V1}.trainer_mode=rekindle_colocate_async, or remove rekindle.train.max_off_policy_steps"
        )
    if draft.train.max_off_policy_steps and not draft.loss.tis_cap:
        raise ConfigError(
            f"{lag} trains on rollouts of earlier policies, and verl takes them for rollouts of the policy before the "
            f"update; set {IS}=token"
        )


def refuse_result(config: Config, values: Values) -> None:
    """Refuse a configuration that is valid elsewhere and that verl does not do.

    Raises:
        ConfigError: verl does not do it.
    """
    refuse(not_played(config, values))
    refuse(_one_temperature(config, values))
    refuse(_weights(config, values))


def _one_temperature(config: Config, values: Values) -> Iterator[str]:
    """Engines with one temperature for all rows beside a recipe that raises some."""
    raised = config.heating.delta > 0
    if raised and config.loss.off_temperature == "tempered":
        if values.at("actor_rollout_ref.model.use_fused_kernels"):
            yield (
                f"actor_rollout_ref.model.use_fused_kernels=True has one temperature for all rows, and recipe "
                f"{config.recipe!r} raises some; set it to False"
            )
        if values.at(f"{ACTOR}.strategy") == "torchtitan":
            yield (
                f"verl's engine torchtitan has one temperature for all rows, and recipe {config.recipe!r} raises some; "
                "set model_engine=dp or model_engine=megatron"
            )
    mode = f"{ROLLOUT}.logprobs_mode"
    if values.is_set(mode) and (raised or config.train.temperature != 1):
        yield (
            f"{mode}={values.at(mode)} has log-probabilities at temperature 1, and rollouts are sampled at others; "
            "leave it out"
        )


def _weights(config: Config, values: Values) -> Iterator[str]:
    """Weights of rollouts and tokens that verl's parts do not give."""
    loss = config.loss
    if loss.aggregation == BY_WEIGHTS and (loss.kl_coefficient or values.at(ENTROPY)):
        yield (
            f'loss.aggregation = "{BY_WEIGHTS}" is made of weights of the rollouts, which verl gives to the policy '
            f"loss and not to KL and entropy terms; set {ACTOR}.use_kl_loss=False and {ENTROPY}=0, or choose "
            f"{few(f'{ours} ({theirs})' for ours, theirs in MODE_OF.items())}"
        )
    if config.advantage.count_over == "minibatch" and is_read("advantage.count_over", config):
        yield (
            'advantage.count_over = "minibatch" needs whole minibatches in one process, and verl divides them over '
            "its ranks; set +rekindle.advantage.count_over=batch, or leave it out"
        )
    weighed = {
        "loss.tis_cap": loss.tis_cap > 0,
        "loss.off_temperature": config.heating.delta > 0 and loss.off_temperature == "importance",
    }
    cut = [name for name in (f"{ROLLOUT}.top_p", f"{ROLLOUT}.top_k") if values.is_set(name)]
    for path in [path for path, used in weighed.items() if used]:
        for name in cut:
            yield (
                f"{path} weighs tokens by the engine's log-probabilities, which {name}={values.at(name)} makes those "
                f"of a part of the vocabulary; leave {name} out, or remove {path}"
            )


def in_words_of_verl(message: str, given: Iterable[str]) -> str:
    """A message about keys, with verl's name beside those that its settings gave."""
    names = {**{link.path: link.name for link in LINKS}, **NAMES}
    return with_names(message, given, names, "verl's {}")
