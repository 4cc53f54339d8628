"""From verl's settings and a recipe to a configuration, and back to the settings that the recipe decides."""

import subprocess
import sys
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.config import ConfigError, dump_toml, validate
from rekindle.config.conditions import value_at
from rekindle.integrations.silent_groups import counts_silent
from rekindle.integrations.verl.settings.impossible import notes
from rekindle.integrations.verl.settings.links import AGGREGATION, ESTIMATORS, LOSS
from rekindle.integrations.verl.settings.refusals import refuse_preset
from rekindle.integrations.verl.settings.run_settings import run_settings, settled
from rekindle.integrations.verl.settings.settling import tables_of
from rekindle.integrations.verl.settings.step_shape import groups_per_step, minibatches
from rekindle.integrations.verl.settings.values import ACTOR, DEFAULTS, MANAGER, ROLLOUT, V1, Values
from rekindle.recipes import on_given_tasks
from rekindle.recipes.grpo import grpo

OURS = {f"{ROLLOUT}.agent.agent_loop_manager_class": MANAGER}
SHORT = {"actor": ACTOR, "rollout": ROLLOUT, "v1": V1, "model": "actor_rollout_ref.model"}


def path_of(name):
    """The whole path of a setting, whose first part may be short."""
    first, _, rest = name.partition(".")
    return f"{SHORT[first]}.{rest}" if first in SHORT else name


def by_path(changes):
    return {path_of(name): value for name, value in changes.items()}


def values(**changes):
    """Settings of a GRPO user with 1024 prompts of 8 rollouts in 4 minibatches."""
    return Values(DEFAULTS).changed(
        by_path({"rollout.n": 8, "algorithm.adv_estimator": "grpo", "v1.trainer_mode": "rekindle"} | changes)
    )


def configured(recipe, **changes):
    return run_settings({"recipe": recipe} if isinstance(recipe, str) else recipe, values(**changes))


def decided(config, **changes):
    found = settled(config, values(**changes))
    assert {path: found.pop(path) for path in OURS} == OURS
    return found


SINGLE = {"rollout.n": 1}
MEAN_OF_ROWS = {"actor.loss_agg_mode": "seq-mean-token-mean"}
VERLS = {"advantage.deviation": "sample", "advantage.epsilon": 1e-6}
AS_GRPO = {**VERLS, "train.group_size": 8, "train.groups_per_step": 1024, "loss.aggregation": "token_mean"}
# recipe: (values of the configuration, settings that it decides)
RECIPE_TABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": (
        {**AS_GRPO, "loss.clip_high": 0.2, "loss.dual_clip": 3.0, "optimizer.minibatches": 4, "train.oversample": 1},
        {},
    ),
    "dapo": ({**AS_GRPO, "refill.max_rounds": 4}, {"actor.clip_ratio_high": 0.28}),
    "bounded_dapo": ({**AS_GRPO, "train.oversample": 2}, {}),
    "dr_grpo": (
        {"loss.aggregation": "constant_length", "advantage.estimator": "dr_grpo"},
        {
            "algorithm.norm_adv_by_std_in_grpo": False,
            "actor.loss_agg_mode": "seq-mean-token-sum-norm",
            "actor.loss_scale_factor": 512,
        },
    ),
    "rloo": ({"advantage.estimator": "rloo"}, {"algorithm.adv_estimator": "rloo", **MEAN_OF_ROWS}),
    "reinforce_pp": (
        {"advantage.deviation": "sample", "advantage.epsilon": 1e-8, "train.gate": "everything"},
        {"algorithm.adv_estimator": "reinforce_plus_plus"},
    ),
    "reinforce_pp_baseline": (
        {"advantage.deviation": "sample"},
        {"algorithm.adv_estimator": "reinforce_plus_plus_baseline"},
    ),
    "gpg": ({"advantage.estimator": "gpg"}, {}),
    "maxrl": ({"advantage.estimator": "maxrl"}, MEAN_OF_ROWS),
    "gspo": (
        {**VERLS, "loss.kind": "gspo", "loss.old_logprobs": "recompute"},
        {
            "actor.policy_loss.loss_mode": "gspo",
            "actor.clip_ratio_low": 3e-4,
            "actor.clip_ratio_high": 4e-4,
            **MEAN_OF_ROWS,
        },
    ),
    "cispo": (
        {**VERLS, "loss.kind": "cispo", "loss.clip_high": 4.0},
        {"actor.policy_loss.loss_mode": "cispo", "actor.clip_ratio_low": 1.0, "actor.clip_ratio_high": 4.0},
    ),
    "recycle": ({**AS_GRPO, "pool.kind": "recycling", "train.oversample": 2}, {}),
    "soft_recycle": ({**AS_GRPO, "pool.alpha": 0.1, "task.binary_rewards": False}, {}),
    "posterior_recycle": ({**AS_GRPO, "priority.sharpness": 2.0, "task.binary_rewards": True}, {}),
    "erpo": ({**AS_GRPO, "heating.delta": 0.05, "task.binary_rewards": True}, {}),
    "sgpo": ({**VERLS, "train.groups_per_step": 1024, "phases.repeats": 2}, {}),
    "c_rf_ntf": (
        {"train.group_size": 1, "advantage.count_over": "batch", "task.binary_rewards": True},
        {"actor.clip_ratio_high": 10.0, **MEAN_OF_ROWS},
    ),
    "reinforce_pp_ntf": (
        {"train.group_size": 1, "train.groups_per_step": 1024, "advantage.deviation": "sample"},
        {"algorithm.adv_estimator": "reinforce_plus_plus", "actor.clip_ratio_high": 10.0, **MEAN_OF_ROWS},
    ),
    "spo": ({"train.group_size": 1, "pool.kind": "prioritized"}, {}),
    "prompt_baseline": ({"train.group_size": 1, "advantage.estimator": "shrunk_baseline"}, {}),
    "rl_zvp": ({**AS_GRPO, "advantage.zero_variance_scale": 0.1}, {}),
    "greso": ({**AS_GRPO, "pool.kind": "selective", "refill.max_rounds": 4}, {}),
    "mopps": ({**AS_GRPO, "priority.estimate": "sample"}, {}),
    "speed": ({**AS_GRPO, "top_up.more": 20}, {}),
    "reinforce_ada": ({**AS_GRPO, "subset.size": 8, "top_up.max_rounds": 4}, {}),
    "knapsack": ({**AS_GRPO, "sizes.rule": "knapsack"}, {}),
    "pods": ({**VERLS, "train.group_size": 16, "subset.size": 4}, {"rollout.n": 16}),
    "rekindle": ({**AS_GRPO, "subset.kind": "balanced", "advantage.negative_scale": 0.0}, {}),
}
WITHOUT_SIZE = {"sgpo", "c_rf_ntf", "reinforce_pp_ntf", "spo", "prompt_baseline", "pods"}


def of_recipe(recipe):
    return SINGLE if recipe in WITHOUT_SIZE else {}


def test_the_table_has_every_recipe_for_given_tasks():
    assert list(RECIPE_TABLE) == on_given_tasks()


@pytest.mark.parametrize("recipe", RECIPE_TABLE)
def test_a_recipe_on_verl(recipe):
    expected, changes = RECIPE_TABLE[recipe]
    config = configured(recipe, **of_recipe(recipe))
    assert {path: value_at(config, path) for path in expected} == expected
    assert decided(config, **of_recipe(recipe)) == by_path(changes)
    assert configured(recipe, **{**of_recipe(recipe), **changes}) == config
    written = validate(tomllib.loads(dump_toml(config)), "config.toml")
    assert written.model_copy(update={"eval": config.eval}) == config, "eval.prompts is known with the tasks"


def test_surroundings_are_those_of_verl():
    changes = {
        "model.path": "org/model",
        "data.seed": 7,
        "actor.optim.lr": 3e-5,
        "rollout.response_length": 99,
        "rollout.top_p": 0.9,
        "rollout.temperature": 0.7,
        "trainer.total_training_steps": 12,
        "reward.custom_reward_function.path": "my_reward.py",
        "reward.custom_reward_function.name": "exact",
    }
    config = configured("recycle", **changes)
    assert (config.model.path, config.task.source) == ("org/model", "given")
    assert (config.train.seed, config.train.learning_rate, config.train.steps) == (7, 3e-5, 12)
    assert (config.engine.max_new_tokens, config.engine.top_p, config.train.temperature) == (99, 0.9, 0.7)
    assert [one.function for one in config.rewards] == ["given:exact"]
    assert decided(config, **changes) == {}


def test_a_run_without_a_number_of_steps_is_as_long_as_its_epochs_until_the_steps_are_known():
    assert configured("grpo").train.steps == 30
    assert run_settings({"recipe": "grpo"}, values(), steps=90).train.steps == 90
    assert run_settings({"recipe": "grpo"}, values(**{"trainer.total_training_steps": 5}), steps=90).train.steps == 5


def test_every_update_of_separate_machines_is_a_step():
    sync = "v1.separate_async.parameter_sync_step"
    settings = {"trainer.total_training_steps": 5, "data.train_batch_size": 64, "actor.ppo_mini_batch_size": 32}
    found = run_settings({"recipe": "grpo"}, values(**SEPARATE, **settings, **{sync: 2}))
    assert (found.train.steps, found.train.groups_per_step) == (10, 32)
    assert configured("grpo").train.seed == 42
    assert [one.function for one in configured("grpo").rewards] == ["given:score"]


# settings of the optimizer -> values of its record
OPTIMIZER = [
    ({}, {"warmup_steps": 0, "schedule": "constant", "weight_decay": 0.01, "grad_clip": 1.0}),
    ({"lr_warmup_steps": 7, "lr_scheduler_type": "cosine"}, {"warmup_steps": 7, "schedule": "cosine"}),
    ({"lr_warmup_steps_ratio": 0.25}, {"warmup_steps": 25}),
    ({"betas": [0.8, 0.95], "clip_grad": 0.2}, {"beta1": 0.8, "beta2": 0.95, "grad_clip": 0.2}),
    ({"lr_scheduler_type": "wsd", "clip_grad": None}, {"schedule": "constant", "grad_clip": 1.0}),
]


@pytest.mark.parametrize(("changed", "expected"), OPTIMIZER)
def test_the_optimizer_is_in_the_record(changed, expected):
    changes = {f"actor.optim.{name}": value for name, value in changed.items()}
    table = configured("grpo", **changes, **{"trainer.total_training_steps": 100}).optimizer
    assert {name: getattr(table, name) for name in expected} == expected


BACKEND = "rollout.checkpoint_engine.backend"
SEPARATE = {"v1.trainer_mode": "rekindle_separate_async", "rollout.nnodes": 1, BACKEND: "nccl"}
ONE_STEP = {"actor.ppo_mini_batch_size": 1024}
# settings that a user made -> values of recipe grpo
SET: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"rollout.n": 16}, {"train.group_size": 16, "train.groups_per_step": 1024}),
    ({"rollout.temperature": 0.6}, {"train.temperature": 0.6}),
    ({"data.train_batch_size": 64, "actor.ppo_mini_batch_size": 32}, {"optimizer.minibatches": 2}),
    ({"actor.ppo_epochs": 2}, {"optimizer.epochs": 2, "loss.old_logprobs": "recompute"}),
    (ONE_STEP, {"optimizer.minibatches": 1, "loss.old_logprobs": "auto"}),
    ({"actor.clip_ratio_low": 0.1}, {"loss.clip_low": 0.1, "loss.clip_high": 0.2}),
    ({"actor.clip_ratio_low": None, "actor.clip_ratio": 0.3}, {"loss.clip_low": 0.3}),
    ({"actor.clip_ratio": 0.3}, {"loss.clip_low": 0.2, "loss.clip_high": 0.2}),
    ({"actor.clip_ratio_c": 10.0}, {"loss.dual_clip": 10.0}),
    ({"actor.use_kl_loss": True}, {"loss.kl_coefficient": 0.001, "loss.kl": "k3"}),
    ({"actor.kl_loss_coef": 0.1}, {"loss.kl_coefficient": 0.0}),
    ({"actor.use_kl_loss": True, "actor.kl_loss_type": "k3+"}, {"loss.kl": "k3_corrected"}),
    ({"actor.use_kl_loss": True, "actor.kl_loss_type": "abs"}, {"loss.kl_coefficient": 0.001}),
    ({"actor.loss_agg_mode": "seq-mean-token-mean"}, {"loss.aggregation": "sequence_mean"}),
    ({"actor.loss_agg_mode": "seq-mean-token-sum"}, {"loss.aggregation": "constant_length"}),
    ({"actor.loss_agg_mode": "seq-mean-token-sum-norm"}, {"loss.aggregation": "constant_length"}),
    ({"actor.policy_loss.loss_mode": "gspo"}, {"loss.kind": "gspo"}),
    ({"actor.policy_loss.loss_mode": "gspo", **ONE_STEP}, {"loss.kind": "ppo_clip"}),
    ({"actor.policy_loss.loss_mode": "cispo", "actor.clip_ratio_high": 3.0}, {"loss.clip_high": 3.0}),
    ({"actor.policy_loss.loss_mode": "geo_mean"}, {"loss.kind": "ppo_clip"}),
    ({"algorithm.norm_adv_by_std_in_grpo": False}, {"advantage.estimator": "dr_grpo", "advantage.epsilon": 1e-8}),
    ({"algorithm.adv_estimator": "rloo"}, {"advantage.estimator": "rloo"}),
    ({"algorithm.adv_estimator": "grpo_vectorized"}, {"advantage.estimator": "grpo", "advantage.epsilon": 1e-6}),
    ({"algorithm.rollout_correction.rollout_is": "token"}, {"loss.tis_cap": 2.0, "loss.old_logprobs": "recompute"}),
    ({"v1.trainer_mode": "rekindle_colocate_async"}, {"train.groups_per_step": 1024}),
    (SEPARATE, {"train.groups_per_step": 256, "optimizer.minibatches": 1}),
]


@pytest.mark.parametrize(("changes", "expected"), SET, ids=[str(changes) for changes, _ in SET])
def test_settings_keep_their_meaning_beside_a_recipe_that_leaves_them_alone(changes, expected):
    for recipe in ("grpo", "recycle"):
        config = configured(recipe, **changes)
        assert {path: value_at(config, path) for path in expected} == expected
        assert decided(config, **changes) == {}


# tables -> (values, settings that they decide)
TABLES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"train": {"temperature": 0.8}}, {}, {"rollout.temperature": 0.8}),
    ({"loss": {"clip_low": 0.1}}, {"loss.clip_high": 0.2}, {"actor.clip_ratio_low": 0.1}),
    ({"loss": {"dual_clip": 2.0}}, {}, {"actor.clip_ratio_c": 2.0}),
    ({"loss": {"kl_coefficient": 0.01}}, {"loss.kl": "k3"}, {"actor.use_kl_loss": True, "actor.kl_loss_coef": 0.01}),
    (
        {"loss": {"kl_coefficient": 0.001, "kl": "k3_corrected"}},
        {},
        {"actor.use_kl_loss": True, "actor.kl_loss_type": "k3+"},
    ),
    ({"loss": {"tis_cap": 3.0}}, {}, {
        "algorithm.rollout_correction.rollout_is": "token", "algorithm.rollout_correction.rollout_is_threshold": 3.0,
    }),
    ({"base": "dapo", "recipe": "erpo"}, {"refill.max_rounds": 4}, {"actor.clip_ratio_high": 0.28}),
    ({"advantage": {"deviation": "population"}}, {"advantage.epsilon": 1e-6}, {}),
    ({"advantage": {"estimator": "spo"}}, {"advantage.estimator": "spo"}, {}),
    ({"overlong": {"kind": "penalty", "buffer": 40}}, {"overlong.kind": "penalty"}, {}),
    ({"task": {"binary_rewards": True, "success_threshold": 0.9}}, {"task.success_threshold": 0.9}, {}),
    ({"samples": {"per_step": 9}}, {"samples.per_step": 9}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("tables", "expected", "changes"), TABLES, ids=[str(tables) for tables, *_ in TABLES])
def test_tables_decide_what_they_set(tables, expected, changes):
    config = configured(tables)
    assert {path: value_at(config, path) for path in expected} == expected
    assert decided(config) == by_path(changes)


def test_a_table_decides_the_group_size():
    config = configured({"train": {"group_size": 6}}, **SINGLE)
    assert decided(config, **SINGLE) == {f"{ROLLOUT}.n": 6}


def test_a_recipe_is_a_name_or_a_file_with_further_tables(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('recipe = "erpo"\n[heating]\ndelta = 0.1\nmaximum = 1.4\n', encoding="utf-8")
    assert tables_of("erpo") == tables_of({"recipe": "erpo", "heating": None}) == {"recipe": "erpo"}
    assert tables_of({"recipe": str(path), "heating": {"delta": 0.2}}) == {
        "recipe": "erpo",
        "heating": {"delta": 0.2, "maximum": 1.4},
    }
    for nothing in (None, {}, 3):
        with pytest.raises(ConfigError, match=r"needs a recipe; add \+rekindle.recipe=recycle"):
            tables_of(nothing)
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        tables_of({"recipe": "nowhere.toml"})


ASYNC = {"v1.trainer_mode": "rekindle_colocate_async"}
CORRECTION = "algorithm.rollout_correction"
REFUSED: list[tuple[dict[str, Any], Any, str]] = [
    # settings, recipe, words
    ({}, "c_rf_ntf", r"rollout.n=8 contradicts recipe 'c_rf_ntf', which has train.group_size = 1; leave actor_roll"),
    ({"rollout.n": 4}, "pods", r"rollout.n out, or choose another recipe"),
    ({}, "sgpo", r'rollout.n=8 beside pool.kind = "phased" .recipe .sgpo.., which sizes groups; leave .*n out$'),
    ({}, {"sizes": {"rule": "inverse_success"}}, r'beside sizes.rule = "inverse_success"'),
    (SINGLE, "recycle", r"n=1 is one rollout of a prompt, and recipe 'recycle' compares several .*; set .*n=8$"),
    ({"rollout.temperature": 0.7}, {"train": {"temperature": 0.8}}, r"or remove rekindle.train.temperature"),
    ({"actor.clip_ratio_high": 0.3}, "dapo", r"clip_ratio_high=0.3 contradicts recipe 'dapo'"),
    ({"actor.clip_ratio_c": 5.0}, {"loss": {"dual_clip": 2.0}}, r"clip_ratio_c=5.0 contradicts"),
    ({"actor.use_kl_loss": True}, {"loss": {"kl_coefficient": 0.01}}, r"use_kl_loss=True contradicts"),
    ({"actor.loss_agg_mode": "seq-mean-token-sum"}, "rloo", r"loss_agg_mode=seq-mean-token-sum contradicts"),
    ({"actor.policy_loss.loss_mode": "gspo"}, "cispo", r"loss_mode=gspo contradicts recipe 'cispo'"),
    ({"actor.policy_loss.loss_mode": "sapo"}, "dapo", r"is a loss of verl's own, and recipe 'dapo' sets loss.clip_hi"),
    ({"algorithm.adv_estimator": "rloo"}, "maxrl", r"adv_estimator=rloo contradicts recipe 'maxrl'"),
    ({"algorithm.norm_adv_by_std_in_grpo": False}, "rloo", r"norm_adv_by_std_in_grpo=False contradicts recipe 'rloo'"),
    ({"algorithm.adv_estimator": "gae"}, "grpo", r"needs a critic, and rekindle compares rollouts; set .*=grpo"),
    ({"algorithm.adv_estimator": "remax"}, "grpo", r"remax needs a greedy rollout"),
    ({"algorithm.adv_estimator": "gpg"}, "gpg", r"\+rekindle.recipe=gpg"),
    ({"algorithm.adv_estimator": "opo"}, "grpo", r"opo is computed by verl, and here rekindle computes"),
    ({"critic.enable": True}, "grpo", r"critic.enable=True trains a critic"),
    ({"algorithm.filter_groups.enable": True}, "grpo", r"choose \+rekindle.recipe=dapo, or set \+rekindle.refill"),
    ({"algorithm.use_kl_in_reward": True}, "grpo", r"set actor_rollout_ref.actor.use_kl_loss=True"),
    ({"algorithm.gamma": 0.99}, "grpo", r"algorithm.gamma=0.99 has no effect: a rollout has one reward"),
    ({"reward.reward_model.enable": True}, "grpo", r"set reward.reward_model.enable_resource_pool=True"),
    ({"distillation.enabled": True}, "grpo", r"set distillation.enabled=False"),
    ({"trainer.use_v1": False}, "grpo", r"trainer.use_v1=False is verl's old trainer"),
    ({"trainer.critic_warmup": 5}, "grpo", r"there is no critic to warm up"),
    ({"data.gen_batch_size": 64}, "grpo", r"data.gen_batch_size=64 has no effect"),
    ({"data.sampler": {"class_name": "X"}}, "grpo", r"the recipe decides which prompts are drawn; leave it out"),
    ({"v1.sampler.custom_sampler.path": "mine.py"}, "grpo", r"the recipe is the sampler"),
    ({"v1.sampler.sync_refill_failed_groups": True}, "grpo", r"set \+rekindle.refill.max_rounds=4"),
    ({"v1.sync.parameter_sync_step": 2}, "grpo", r"synchronised after every step; set .*ppo_mini_batch_size"),
    ({"rollout.agent.agent_loop_manager_class": "my.Manager"}, "grpo", r"takes the place of ours"),
    ({"rollout.calculate_log_probs": False}, "grpo", r"keeps no log-probabilities of sampled tokens"),
    ({"rollout.do_sample": False}, "grpo", r"samples nothing"),
    ({"skip.rollout_tq.enable": True}, "grpo", r"takes rollouts of an earlier run"),
    ({f"{CORRECTION}.bypass_mode": True}, "grpo", r"whose log-probabilities and entropies rekindle reads"),
    ({f"{CORRECTION}.rollout_rs": "token_k1"}, "grpo", r"takes tokens out of rollouts that the recipe has chosen"),
    ({f"{CORRECTION}.rollout_is": "sequence"}, "grpo", r"here weights are of tokens, not of sequences"),
    ({f"{CORRECTION}.rollout_is": "token", f"{CORRECTION}.rollout_is_threshold": "0.5_2"}, "grpo", r"is no number"),
    (
        {f"{CORRECTION}.rollout_is": "token", f"{CORRECTION}.rollout_is_batch_normalize": True},
        "grpo",
        r"batch_normalize=True is not done here",
    ),
    ({f"{CORRECTION}.rollout_is": "token"}, {"loss": {"tis_cap": 3.0}}, r"rollout_is=token contradicts"),
    ({"actor.ppo_mini_batch_size": 300}, "grpo", r"is no multiple of .*=300, so that optimizer steps would diff"),
    ({"actor.ppo_micro_batch_size": 4}, "grpo", r"is an old name, .*; set .*ppo_micro_batch_size_per_gpu"),
    ({"rollout.log_prob_micro_batch_size": 4}, "grpo", r"set .*log_prob_micro_batch_size_per_gpu"),
    ({**SEPARATE, BACKEND: "naive"}, "grpo", r"backend=naive cannot send weights to other GPUs; set .*backend=nccl"),
    ({**SEPARATE, "rollout.nnodes": 0}, "grpo", r"rollouts on GPUs of their own; set .*nnodes and .*n_gpus_per_node"),
    ({**SEPARATE, "data.train_batch_size": 512}, "grpo", r"as verl asks in this mode; set data.train_batch_size=1024"),
    ({"model.use_fused_kernels": True}, "erpo", r"has one temperature for all rows, and recipe 'erpo' raises some"),
    ({"actor.strategy": "torchtitan"}, "erpo", r"set model_engine=dp or model_engine=megatron"),
    ({"rollout.logprobs_mode": "raw_logprobs"}, "erpo", r"has log-probabilities at temperature 1"),
    ({"rollout.logprobs_mode": "raw_logprobs", "rollout.temperature": 0.7}, "grpo", r"has log-probabilities at temp"),
    ({"rollout.top_p": 0.9}, {"loss": {"tis_cap": 2.0}}, r"loss.tis_cap weighs tokens by the engine's .*top_p=0.9"),
    ({"rollout.top_k": 50}, {"recipe": "erpo", "loss": {"off_temperature": "importance"}}, r"top_k=50 makes those"),
    (ONE_STEP, "gspo", r"verl makes one of it; set actor_rollout_ref.actor.ppo_mini_batch_size=256 "),
    (SEPARATE, "cispo", r"makes one of it; set actor_rollout_ref.actor.ppo_epochs=2, or another trainer mode"),
    ({}, {"train": {"max_off_policy_steps": 1}}, r"waits for every step; set trainer.v1.trainer_mode=rekindle_coloc"),
    (ASYNC, {"train": {"max_off_policy_steps": 1}}, r"rollouts of earlier policies, .* set .*rollout_is=token"),
    (
        {"actor.use_kl_loss": True},
        {"loss": {"aggregation": "group_token_mean"}},
        r'"group_token_mean" is made of weights .*use_kl_loss=False.*or choose token_mean \(token-mean\)',
    ),
    (SINGLE, {"recipe": "c_rf_ntf", "advantage": {"count_over": "minibatch"}}, r"verl divides them over its ranks"),
    ({}, {"loss": {"old_logprobs": "engine"}}, r'loss.old_logprobs = "engine" belongs to verl'),
    ({}, {"loss": 3}, r"recipe: loss = 3 is no table; write \+rekindle.loss.KEY=VALUE"),
    ({}, {"train": {"learning_rate": 1e-5}}, r"belongs to verl: set actor_rollout_ref.actor.optim.lr=..."),
    ({}, {"search": {"max_turns": 3}}, r"search.max_turns is not set here: .* set rekindle.task.environment=search"),
    ({}, {"task": {"verifier": "math"}}, r"with rekindle.task.source or rekindle.task.environment they are rekindle's"),
    ({}, {"dialogue": {"max_turns": 3}}, r"on verl they are agent loops of verl's"),
    (
        SINGLE | {"v1.trainer_mode": "rekindle_colocate_async"},
        "self_play",
        r"before a step solves them; set trainer.v1.trainer_mode=rekindle",
    ),
    (
        {"data.train_files": "mine.parquet"},
        {"task": {"source": "search_world"}},
        r"data.train_files=mine.parquet beside rekindle.task.source=search_world.* leave data.train_files out",
    ),
    (SINGLE, "self_play_paper", r"verl makes one; set rekindle.self_play.updates=joint"),
    (SINGLE, {"recipe": "self_play", "self_play": {"fixed": "solver"}}, r"plays one role with the start policy"),
    (SINGLE, {"recipe": "self_play", "self_play": {"reference_samples": 2}}, r"reference_samples = 2 .* set it to 0"),
    (
        {"rollout.name": "sglang"},
        {"task": {"source": "search_world"}},
        r"leaves SGLang without texts.* set actor_rollout_ref.rollout.skip_tokenizer_init=False",
    ),
    ({}, "erppo", r"\+rekindle.recipe: recipe 'erppo' is unknown; did you mean erpo\?"),
    ({}, {"pool": {"kindd": "x"}}, r"recipe: pool.kindd: unknown key; did you mean pool.kind?"),
    ({"rollout.temperature": -1.0}, "grpo", r"train.temperature \(verl's actor_rollout_ref.rollout.temperature\) = -1"),
    ({"data.train_batch_size": "many"}, "grpo", r"data.train_batch_size=many is no whole number"),
    ({"actor.optim.betas": [0.9]}, "grpo", r"is no pair of numbers"),
    ({"critic.enable": None, "trainer.use_v1": "yes"}, "grpo", r"trainer.use_v1=yes is no True or False"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "recipe", "words"), REFUSED, ids=[f"{two} {one}" for one, two, _ in REFUSED])
def test_contradictions_and_what_verl_cannot_do_are_refused_by_name(changes, recipe, words):
    with pytest.raises(ConfigError, match=words) as refused:
        configured(recipe, **changes)
    assert "\n" not in str(refused.value)


# what works: settings beside a recipe for which others are refused
ACCEPTED: list[tuple[dict[str, Any], Any]] = [
    ({"model.use_fused_kernels": True}, "recycle"),
    ({"model.use_fused_kernels": True}, {"recipe": "erpo", "loss": {"off_temperature": "ignore"}}),
    ({"actor.strategy": "torchtitan"}, "recycle"),
    ({"actor.strategy": "megatron"}, "erpo"),
    ({"rollout.top_p": 0.9, "rollout.top_k": 50}, "recycle"),
    ({"rollout.logprobs_mode": "raw_logprobs"}, "recycle"),
    ({"reward.reward_model.enable": True, "reward.reward_model.enable_resource_pool": True}, "recycle"),
    ({"actor.policy_loss.loss_mode": "sapo"}, "recycle"),
    ({"data.shuffle": False}, "recycle"),
    ({**SEPARATE, "actor.policy_loss.loss_mode": "gspo"}, "recycle"),
    ({"rollout.n": 16}, "pods"),
]


@pytest.mark.parametrize(("changes", "recipe"), ACCEPTED, ids=[f"{two} {one}" for one, two in ACCEPTED])
def test_what_can_work_is_accepted(changes, recipe):
    assert decided(configured(recipe, **changes), **changes) == {}


@pytest.mark.parametrize("path", ["optimizer.batch_exponent", "engine.min_p", "eval.every"])
def test_a_recipe_that_sets_a_key_without_a_place_on_verl_is_refused(path):
    table, key = path.split(".")
    preset = grpo().model_dump(mode="json", exclude_none=True)
    refuse_preset(preset)
    preset[table][key] = preset[table][key] + (0.5 if key == "min_p" else 1)
    with pytest.raises(
        ConfigError, match=rf'recipe = "grpo" sets {path}, for which verl has no place; use rekindle tr'
    ):
        refuse_preset(preset)


def test_steps_ahead_are_corrected():
    changes = {**ASYNC, "algorithm.rollout_correction.rollout_is": "token"}
    config = configured({"recipe": "recycle", "train": {"max_off_policy_steps": 2}}, **changes)
    assert (config.train.max_off_policy_steps, config.loss.old_logprobs, config.loss.tis_cap) == (2, "recompute", 2.0)
    assert decided(config, **changes) == {}


def test_an_update_of_separate_machines_is_a_step():
    separate = values(**{"v1.trainer_mode": "rekindle_separate_async"})
    assert (groups_per_step(separate), minibatches(separate)) == (256, 1)
    assert (groups_per_step(values()), minibatches(values())) == (1024, 4)


def test_a_run_that_keeps_one_checkpoint_is_warned():
    kept = "trainer.max_actor_ckpt_to_keep"
    assert [list(notes(values(**{kept: many}))) for many in (None, 2)] == [[], []]
    (found,) = notes(values(**{kept: 1}))
    assert found.endswith("a kill between them leaves none to go on from; set it to 2")


def test_settings_are_read_from_nested_tables():
    nested = {"actor_rollout_ref": {"rollout": {"n": 5, "name": "vllm"}, "actor": {"clip_ratio_low": None}}}
    found = Values.of({**nested, "data": {"train_batch_size": "???"}})
    assert found.at(f"{ROLLOUT}.n") == 5
    assert found.at(f"{ACTOR}.clip_ratio_low") is None
    assert found.at("data.train_batch_size") == 1024
    assert found.is_set(f"{ROLLOUT}.n")
    assert not found.is_set("data.train_batch_size")
    assert not Values.of({"actor_rollout_ref": {"actor": {"optim": {"betas": [0.9, 0.999]}}}}).is_set(
        f"{ACTOR}.optim.betas"
    )


def test_recipes_that_choose_nothing_keep_verls_denominators():
    found = {name for name in on_given_tasks() if counts_silent(configured(name, **of_recipe(name)))}
    assert found == {"grpo", "dr_grpo", "rloo", "maxrl", "gspo", "cispo"}


def test_nothing_here_needs_verl_or_torch():
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'verl', 'ray', 'hydra', 'omegaconf'): sys.modules[name] = None\n"
        "import rekindle.integrations.verl.settings.capabilities as capabilities\n"
        "import rekindle.integrations.verl.settings.command, rekindle.cli.verl\n"
        "assert capabilities.refusal_of('grpo') == ''"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "rollout.n": st.sampled_from([1, 4, 16]),
        "rollout.temperature": st.sampled_from([0.7, 1.1]),
        "actor.clip_ratio_low": st.sampled_from([0.1, None]),
        "actor.clip_ratio_high": st.sampled_from([0.28, 5.0, None]),
        "actor.clip_ratio_c": st.just(4.0),
        "actor.use_kl_loss": st.just(True),
        "actor.kl_loss_type": st.sampled_from(["k3+", "abs"]),
        "actor.loss_agg_mode": st.sampled_from(sorted(AGGREGATION)),
        "actor.policy_loss.loss_mode": st.sampled_from([*sorted(LOSS), "geo_mean"]),
        "actor.ppo_mini_batch_size": st.sampled_from([128, 1024]),
        "actor.ppo_epochs": st.just(2),
        "algorithm.adv_estimator": st.sampled_from(sorted(ESTIMATORS)),
        "algorithm.norm_adv_by_std_in_grpo": st.just(False),
        "algorithm.rollout_correction.rollout_is": st.just("token"),
    },
)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "train": st.fixed_dictionaries({}, optional={"group_size": st.just(4), "temperature": st.just(0.9)}),
        "loss": st.fixed_dictionaries(
            {},
            optional={
                "clip_low": st.sampled_from([0.1, 0.2]),
                "clip_high": st.sampled_from([0.28, 4.0]),
                "aggregation": st.sampled_from(["token_mean", "sequence_mean", "constant_length"]),
                "kl_coefficient": st.just(0.01),
                "tis_cap": st.just(2.0),
            },
        ),
    },
)


@settings(deadline=None, max_examples=100)
@given(recipe=st.sampled_from(sorted(RECIPE_TABLE)), changes=CHANGES, extras=EXTRAS)
def test_what_a_recipe_decides_gives_the_same_configuration_again(recipe, changes, extras):
    tables = {"recipe": recipe, **extras}
    try:
        config = configured(tables, **changes)
    except ConfigError:
        return
    again = values(**changes).changed(settled(config, values(**changes)))
    assert run_settings(tables, again) == config
    assert settled(config, again) == {}


def test_a_mean_over_groups_is_made_of_token_mean():
    values = Values.of({"algorithm": {"adv_estimator": "grpo"}, "actor_rollout_ref": {"rollout": {"n": 8}}})
    config = run_settings(tables_of({"recipe": "grpo", "loss": {"aggregation": "group_token_mean"}}), values)
    assert config.loss.aggregation == "group_token_mean"
    assert f"{ACTOR}.loss_agg_mode" not in settled(config, values), "verl's default"
    assert not counts_silent(config), "rows without signal are in no group of the mean"
