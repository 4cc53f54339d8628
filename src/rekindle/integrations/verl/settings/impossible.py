"""Settings of verl with which no recipe works, and those that have no effect: one sentence each, with the remedy."""

from collections.abc import Iterator, Mapping

from rekindle.integrations.settings.refusing import refuse
from rekindle.integrations.verl.settings.links import ESTIMATOR, ESTIMATORS, IS
from rekindle.integrations.verl.settings.values import ACTOR, MANAGER, MODES, ROLLOUT, V1, Values

__all__ = ["NO_EFFECT", "WITHOUT_OURS", "notes", "refuse_values", "without_our_mode"]

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


def notes(values: Values) -> Iterator[str]:
    """Settings that have no effect beside a recipe and that many commands have, and those that may lose a run."""
    if not values.at("data.shuffle"):
        yield "data.shuffle=False has no effect: the recipe draws the prompts"
    if values.at("trainer.max_actor_ckpt_to_keep") == 1:
        yield (
            "trainer.max_actor_ckpt_to_keep=1 removes a checkpoint before the number of the next one is written, and a "
            "kill between them leaves none to go on from; set it to 2"
        )


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
            f"data.train_batch_size={batch} is no multiple of {ACTOR}.ppo_mini_batch_size={mini}, so that optimizer "
            "steps would differ in size; make it one"
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
