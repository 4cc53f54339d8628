"""What rekindle cannot do on verl, and what contradicts a recipe: one sentence each, with the remedy."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rekindle.choices import few
from rekindle.config import Config, ConfigError
from rekindle.config.facts import fewest_and_most, plays_itself, plays_search
from rekindle.integrations.settings.group_shape import sizes_itself, sizing_rule
from rekindle.integrations.settings.links import contradicted
from rekindle.integrations.settings.paths import at
from rekindle.integrations.settings.words import refuse, with_names
from rekindle.integrations.verl.settings.environments import other_files, with_environments
from rekindle.integrations.verl.settings.links import (
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
from rekindle.integrations.verl.settings.values import ACTOR, MANAGER, MODES, ROLLOUT, V1, Values
from rekindle.learning.estimators import ESTIMATORS as ESTIMATORS_OF_OURS
from rekindle.learning.losses import LOSSES

__all__ = [
    "in_words_of_verl",
    "refuse_contradictions",
    "refuse_preset",
    "refuse_result",
    "refuse_single_rollouts",
    "refuse_sizes",
    "refuse_values",
    "without_our_mode",
]

CORRECTION = "algorithm.rollout_correction"
NO_EFFECT: Mapping[str, str] = {
    "data.gen_batch_size": "the recipe decides how many prompts are drawn; leave it out",
    "data.sampler": "the recipe decides which prompts are drawn; leave it out",
    f"{V1}.sampler.custom_sampler.path": "the recipe is the sampler; leave it out",
    f"{V1}.sampler.sync_refill_failed_groups": "set +rekindle.refill.max_rounds=4 to draw again where groups are "
    "missing, and leave it out",
    "algorithm.gamma": "a rollout has one reward, at its end; leave it out",
    "trainer.critic_warmup": "there is no critic to warm up, and the policy would wait for it; leave it out",
    **{
        f"{V1}.{mode}.parameter_sync_step": "the weights are synchronised after every step; set "
        f"{ACTOR}.ppo_mini_batch_size for more optimizer steps, and leave it out"
        for mode in ("sync", "colocate_async", *MODES)
    },
}
"""Settings that a recipe takes the place of, and what to do instead."""
WITHOUT_OURS: Mapping[str, str] = {
    "gae": "needs a critic, and rekindle compares rollouts",
    "remax": "needs a greedy rollout of every prompt, and rekindle compares sampled ones",
    "gpg": "counts rollouts of reward 0, and GPG's paper groups without signal (+rekindle.recipe=gpg)",
    "gdpo": "has an advantage per reward, and rekindle one per rollout",
}
"""Why an estimator of verl's has none of ours."""


def without_our_mode(values: Values) -> str:
    """Sentence about a recipe beside a trainer mode of verl's, which would not read it."""
    ours = {theirs: mode for mode, theirs in MODES.items()}.get(values.mode, "rekindle")
    return (
        f"{V1}.trainer_mode={values.at(f'{V1}.trainer_mode')} does not read the table rekindle; set "
        f"{V1}.trainer_mode={ours}, or leave the table out"
    )


def refuse_values(values: Values) -> None:
    """Refuse settings of verl with which no recipe works.

    Raises:
        ConfigError: There are some.
    """
    refuse(f"{path}={value} is no {kind}; correct it" for path, value, kind in values.of_another_kind())
    refuse(_impossible(values))


def _impossible(values: Values) -> Iterator[str]:
    if not values.at("trainer.use_v1"):
        yield "trainer.use_v1=False is verl's old trainer, which has no place for a recipe; leave it out"
    for path, remedy in NO_EFFECT.items():
        if values.is_set(path):
            yield f"{path}={values.at(path)} has no effect: {remedy}"
    yield from _credit_is_ours(values)
    yield from _rewards_come_first(values)
    yield from _sampling(values)
    yield from _rollout_correction(values)
    yield from _sizes(values)
    if values.mode == "separate_async":
        yield from _separate(values)


def _credit_is_ours(values: Values) -> Iterator[str]:
    """Estimators, critics and filters of verl's own."""
    name = values.at(ESTIMATOR)
    if name not in ESTIMATORS:
        why = WITHOUT_OURS.get(name, "is computed by verl, and here rekindle computes the advantages")
        yield f"{ESTIMATOR}={name} {why}; set {ESTIMATOR}=grpo"
    if values.at("critic.enable"):
        yield "critic.enable=True trains a critic, which no recipe reads; leave it out"
    if values.at("algorithm.filter_groups.enable"):
        yield (
            "algorithm.filter_groups.enable=True filters groups, which the recipe does; leave it out, and choose "
            "+rekindle.recipe=dapo, or set +rekindle.refill.max_rounds=4"
        )
    if values.at("distillation.enabled"):
        yield (
            "distillation.enabled=True trains on a teacher's log-probabilities, also where the recipe leaves rollouts "
            "out; set distillation.enabled=False"
        )


def _rewards_come_first(values: Values) -> Iterator[str]:
    """Rewards that are known only after the groups of a step are chosen."""
    if values.at("algorithm.use_kl_in_reward"):
        yield (
            "algorithm.use_kl_in_reward=True changes rewards after the recipe has chosen groups by them; leave it out, "
            f"and set {ACTOR}.use_kl_loss=True"
        )
    if values.at("reward.reward_model.enable") and not values.at("reward.reward_model.enable_resource_pool"):
        yield (
            "reward.reward_model.enable=True on the GPUs of the policy computes rewards after the recipe has chosen "
            "groups by them; set reward.reward_model.enable_resource_pool=True with GPUs of its own"
        )


def _sampling(values: Values) -> Iterator[str]:
    manager = values.at(f"{ROLLOUT}.agent.agent_loop_manager_class")
    if manager not in (None, MANAGER):
        yield (
            f"{ROLLOUT}.agent.agent_loop_manager_class={manager} takes the place of ours, which gives every row its "
            f"temperature and seed; leave it out, and set {ROLLOUT}.agent.default_agent_loop for a loop of your own"
        )
    if not values.at(f"{ROLLOUT}.calculate_log_probs"):
        yield (
            f"{ROLLOUT}.calculate_log_probs=False keeps no log-probabilities of sampled tokens, which a rollout needs; "
            "leave it out"
        )
    if not values.at(f"{ROLLOUT}.do_sample"):
        yield f"{ROLLOUT}.do_sample=False samples nothing, so that no group has signal; leave it out"
    for path in ("skip.rollout.enable", "skip.rollout_tq.enable", "skip.async_rollout.enable"):
        if values.at(path):
            yield f"{path}=True takes rollouts of an earlier run, for requests that are not theirs; leave it out"


def _rollout_correction(values: Values) -> Iterator[str]:
    if values.at(f"{CORRECTION}.bypass_mode"):
        yield (
            f"{CORRECTION}.bypass_mode=True leaves out the trainer's pass over a batch, whose log-probabilities and "
            "entropies rekindle reads; leave it out"
        )
    if values.at(f"{CORRECTION}.rollout_rs") is not None:
        yield (
            f"{CORRECTION}.rollout_rs={values.at(f'{CORRECTION}.rollout_rs')} takes tokens out of rollouts that the "
            f"recipe has chosen; leave it out, and bound their weights with {IS}=token"
        )
    kind = values.at(IS)
    if kind not in (None, "token"):
        yield f"{IS}={kind}: here weights are of tokens, not of sequences; set {IS}=token"
    if kind and values.at(f"{CORRECTION}.rollout_is_batch_normalize"):
        yield f"{CORRECTION}.rollout_is_batch_normalize=True is not done here; leave it out"


def _sizes(values: Values) -> Iterator[str]:
    batch, mini = values.at("data.train_batch_size"), values.at(f"{ACTOR}.ppo_mini_batch_size")
    if mini < 1 or batch % mini:
        yield (
            f"data.train_batch_size={batch} is no multiple of {ACTOR}.ppo_mini_batch_size={mini}; an optimizer step "
            "takes whole groups, make it one"
        )
    for path in (f"{ACTOR}.ppo_micro_batch_size", f"{ROLLOUT}.log_prob_micro_batch_size"):
        if values.at(path) is not None:
            yield f"{path}={values.at(path)} is an old name, which verl's engines do not read; set {path}_per_gpu"


def _separate(values: Values) -> Iterator[str]:
    """What verl checks for separate machines, after Ray has started."""
    batch, mini = values.at("data.train_batch_size"), values.at(f"{ACTOR}.ppo_mini_batch_size")
    sync = values.at(f"{V1}.separate_async.parameter_sync_step")
    if batch != sync * mini:
        yield (
            f"data.train_batch_size={batch} is not {V1}.separate_async.parameter_sync_step={sync} x "
            f"{ACTOR}.ppo_mini_batch_size={mini}, as verl asks in this mode; set data.train_batch_size={sync * mini}"
        )
    if min(values.at(f"{ROLLOUT}.nnodes"), values.at(f"{ROLLOUT}.n_gpus_per_node")) < 1:
        yield f"the mode has rollouts on GPUs of their own; set {ROLLOUT}.nnodes and {ROLLOUT}.n_gpus_per_node"
    if values.at(f"{ROLLOUT}.checkpoint_engine.backend") == "naive":
        yield (
            f"{ROLLOUT}.checkpoint_engine.backend=naive cannot send weights to other GPUs; set "
            f"{ROLLOUT}.checkpoint_engine.backend=nccl"
        )


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
    refuse(_without_a_mode(chosen, decided))
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


def _without_a_mode(chosen: Mapping[str, Any], decided: set[str]) -> Iterator[str]:
    """Aggregations that verl has not."""
    aggregation = chosen["loss"].get("aggregation")
    if "loss.aggregation" in decided and aggregation == "group_token_mean":
        yield (
            f'loss.aggregation = "{aggregation}" has no loss_agg_mode in verl; remove it and set '
            f"{ACTOR}.loss_agg_mode, or choose {few(f'{ours} ({theirs})' for ours, theirs in MODE_OF.items())}"
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
        batch = values.at("data.train_batch_size")
        yield (
            f"recipe {chosen['recipe']!r} differs from grpo only after a first optimizer step on a batch, and verl "
            f"makes one of it; set {ACTOR}.ppo_mini_batch_size={max(1, batch // 4)} (a fourth of data.train_batch_size)"
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


def refuse_result(config: Config, values: Values) -> None:
    """Refuse a configuration that is valid elsewhere and that verl does not do.

    Raises:
        ConfigError: verl does not do it.
    """
    refuse(_unlike_ours(config, values))


def _self_play(config: Config, values: Values) -> Iterator[str]:
    """What self-play does elsewhere."""
    table = config.self_play
    if not plays_itself(config):
        return
    if values.mode != "sync":
        yield (
            f"{V1}.trainer_mode={values.at(f'{V1}.trainer_mode')} goes on with rollouts during an update, and "
            f"self-play proposes questions before a step solves them; set {V1}.trainer_mode=rekindle"
        )
    if table.updates == "proposer_first":
        yield (
            'self_play.updates = "proposer_first" makes two updates of a step, and verl makes one; set '
            "rekindle.self_play.updates=joint, or use rekindle train"
        )
    if table.fixed != "none":
        yield (
            f'self_play.fixed = "{table.fixed}" plays one role with the start policy, which a rollout engine of verl '
            "has not; remove it, or use rekindle train"
        )
    if table.reference_samples:
        yield (
            f"self_play.reference_samples = {table.reference_samples} samples from the start policy, which a rollout "
            "engine of verl has not; set it to 0, or use rekindle train"
        )


def _engine_ends_turns(config: Config, values: Values) -> Iterator[str]:
    """An engine without texts, beside a protocol whose tags end a turn."""
    skips = values.at(f"{ROLLOUT}.skip_tokenizer_init") and values.at(f"{ROLLOUT}.name") == "sglang"
    if plays_search(config) and config.search.protocol == "tags" and skips:
        yield (
            f"{ROLLOUT}.skip_tokenizer_init=True leaves SGLang without texts, and tags end the turns of a search agent "
            f'(search.protocol = "tags"); set {ROLLOUT}.skip_tokenizer_init=False'
        )


def _unlike_ours(config: Config, values: Values) -> Iterator[str]:
    yield from _self_play(config, values)
    yield from _engine_ends_turns(config, values)
    yield from other_files(config, values)
    loss = config.loss
    raised = config.heating.delta > 0
    if raised and loss.off_temperature == "tempered":
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
    weighed = {
        "loss.tis_cap": loss.tis_cap > 0,
        "loss.off_temperature": raised and loss.off_temperature == "importance",
    }
    for path in [path for path, used in weighed.items() if used]:
        for name in (f"{ROLLOUT}.top_p", f"{ROLLOUT}.top_k"):
            if values.is_set(name):
                yield (
                    f"{path} weighs tokens by the engine's log-probabilities, which {name}={values.at(name)} makes "
                    f"those of a part of the vocabulary; leave {name} out, or remove {path}"
                )
    mode, tempered = values.at(f"{ROLLOUT}.logprobs_mode"), raised or config.train.temperature != 1
    if tempered and values.is_set(f"{ROLLOUT}.logprobs_mode"):
        yield (
            f"{ROLLOUT}.logprobs_mode={mode} has log-probabilities at temperature 1, and rollouts are sampled at "
            "others; leave it out"
        )


def in_words_of_verl(message: str, given: Iterable[str]) -> str:
    """A message about keys, with verl's name beside those that its settings gave."""
    names = {**{link.path: link.name for link in LINKS}, **NAMES}
    return with_names(message, given, names, "verl's {}")
