"""From TRL's arguments and a recipe to a configuration, and back to the arguments that the recipe decides."""

import subprocess
import sys
import tomllib
from dataclasses import fields, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.config import ConfigError, dump_toml, validate
from rekindle.config.conditions import value_at
from rekindle.integrations.silent_groups import counts_silent
from rekindle.integrations.trl.settings.arguments import DEFAULTS, Arguments
from rekindle.integrations.trl.settings.links import AGGREGATION
from rekindle.integrations.trl.settings.refusals import refuse_preset
from rekindle.integrations.trl.settings.run_settings import run_settings, settled
from rekindle.notices import RekindleWarning
from rekindle.recipes import on_given_tasks
from rekindle.recipes.grpo import grpo

BATCH = Arguments(per_device_train_batch_size=64, max_steps=10)
FOUR_STEPS = replace(BATCH, per_device_train_batch_size=16, steps_per_generation=4)


def configured(recipe, arguments=BATCH, rewards=(("score", 1.0),), steps=None):
    return run_settings(recipe, arguments, model="model", rewards=rewards, steps=steps)


SINGLE = {"num_generations": 1, "num_generations_eval": 8}
BY_ROLLOUT = {"loss_type": "grpo"}
WIDE = {"epsilon_high": 10.0}
TRLS = {"advantage.deviation": "sample", "advantage.epsilon": 1e-4}
GROUPS_OF_8 = {"train.group_size": 8, "train.groups_per_step": 8, "loss.aggregation": "token_mean"}
SINGLES = {"train.group_size": 1, "train.groups_per_step": 64}
AS_GRPO = {**GROUPS_OF_8, **TRLS, "loss.clip_high": 0.2}
# recipe: (values of the configuration, arguments that it decides); a generation batch of 64, and else TRL's defaults
RECIPE_TABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({**AS_GRPO, "train.oversample": 1, "task.binary_rewards": False}, {}),
    "dapo": ({**GROUPS_OF_8, **TRLS, "refill.max_rounds": 4, "loss.clip_high": 0.28}, {"epsilon_high": 0.28}),
    "bounded_dapo": ({**AS_GRPO, "train.oversample": 2}, {}),
    "dr_grpo": (
        {"train.group_size": 8, "loss.aggregation": "constant_length", "advantage.estimator": "dr_grpo"},
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
    ),
    "rloo": ({"train.group_size": 8, "loss.aggregation": "sequence_mean", "advantage.estimator": "rloo"}, BY_ROLLOUT),
    "reinforce_pp": ({**GROUPS_OF_8, "advantage.deviation": "population", "train.gate": "everything"}, {}),
    "reinforce_pp_baseline": ({**GROUPS_OF_8, "advantage.epsilon": 1e-8}, {}),
    "gpg": ({**GROUPS_OF_8, "advantage.estimator": "gpg"}, {}),
    "maxrl": ({"loss.aggregation": "sequence_mean", "advantage.estimator": "maxrl"}, BY_ROLLOUT),
    "gspo": (
        {**TRLS, "loss.kind": "gspo", "optimizer.minibatches": 4, "optimizer.epochs": 1, "loss.clip_low": 3e-4},
        {**BY_ROLLOUT, "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
    ),
    "cispo": (
        {**TRLS, "loss.kind": "cispo", "loss.clip_high": 4.0, "loss.old_logprobs": "recompute"},
        {"loss_type": "cispo", "epsilon_high": 5.0},
    ),
    "recycle": ({**AS_GRPO, "pool.kind": "recycling", "pool.reset_below": 0.25, "train.oversample": 2}, {}),
    "soft_recycle": ({**AS_GRPO, "pool.alpha": 0.1, "task.binary_rewards": False}, {}),
    "posterior_recycle": ({**AS_GRPO, "priority.sharpness": 2.0, "task.binary_rewards": True}, {}),
    "erpo": ({**AS_GRPO, "heating.delta": 0.05, "task.binary_rewards": True, "task.success_threshold": 0.5}, {}),
    "sgpo": ({**TRLS, "train.group_size": 4, "train.groups_per_step": 8, "phases.repeats": 2}, {}),
    "c_rf_ntf": (
        {**SINGLES, "advantage.negative_keep_ratio": 0.1, "loss.clip_high": 10.0, "task.binary_rewards": True},
        {**SINGLE, **BY_ROLLOUT, **WIDE},
    ),
    "reinforce_pp_ntf": (
        {**SINGLES, "advantage.estimator": "batch_standardize", "task.binary_rewards": False},
        {**SINGLE, **BY_ROLLOUT, **WIDE},
    ),
    "spo": ({**SINGLES, "pool.kind": "prioritized", "loss.aggregation": "token_mean"}, SINGLE),
    "prompt_baseline": ({**SINGLES, "advantage.estimator": "shrunk_baseline"}, SINGLE),
    "rl_zvp": ({**AS_GRPO, "advantage.zero_variance_scale": 0.1, "train.gate": "everything"}, {}),
    "greso": ({**AS_GRPO, "pool.kind": "selective", "refill.max_rounds": 4}, {}),
    "mopps": ({**AS_GRPO, "priority.estimate": "sample", "posterior.most_discount": 0.5}, {}),
    # up to 8 + 20 rollouts of a group are trained on: two groups fit
    "speed": ({"train.group_size": 8, "top_up.more": 20, "train.groups_per_step": 2}, {}),
    # 8 of up to 32 rollouts
    "reinforce_ada": ({**AS_GRPO, "subset.size": 8, "top_up.max_rounds": 4}, {}),
    "knapsack": ({**AS_GRPO, "sizes.rule": "knapsack", "sizes.maximum": 128}, {}),
    # 4 of 16 rollouts are trained on
    "pods": (
        {**TRLS, "train.group_size": 16, "train.groups_per_step": 16},
        {"num_generations": 16, "num_generations_eval": 8},
    ),
    # 2 of 8 rollouts are taken: 32 groups fit
    "rekindle": ({**AS_GRPO, "train.groups_per_step": 32, "advantage.negative_scale": 0.0}, {}),
}


def of_recipe(recipe):
    return FOUR_STEPS if recipe in ("gspo", "cispo") else BATCH


def test_the_table_has_every_recipe_for_given_tasks():
    assert list(RECIPE_TABLE) == on_given_tasks()


@pytest.mark.parametrize("recipe", RECIPE_TABLE)
def test_a_recipe_inside_trl(recipe):
    values, decided = RECIPE_TABLE[recipe]
    config = configured(recipe, of_recipe(recipe))
    assert {path: value_at(config, path) for path in values} == values
    assert settled(config, of_recipe(recipe)) == decided
    assert configured(recipe, replace(of_recipe(recipe), **decided)) == config
    written = validate(tomllib.loads(dump_toml(config)), "config.toml")
    assert written.model_copy(update={"eval": config.eval}) == config, "eval.prompts is known with the tasks"


def test_surroundings_are_those_of_trl():
    arguments = replace(
        BATCH, seed=7, learning_rate=3e-5, max_completion_length=99, top_p=0.9, min_p=0.1, temperature=0.7
    )
    config = configured("grpo", arguments)
    assert (config.model.path, config.task.source) == ("model", "given")
    assert (config.train.seed, config.train.learning_rate, config.train.steps) == (7, 3e-5, 10)
    assert (config.engine.max_new_tokens, config.engine.top_p, config.engine.min_p) == (99, 0.9, 0.1)
    assert config.train.temperature == 0.7
    assert settled(config, arguments) == {}


# arguments of the optimizer -> values of its record
OPTIMIZER = [
    ({}, {"warmup_steps": 0, "schedule": "linear", "weight_decay": 0.0, "grad_clip": 1.0}),
    ({"warmup_steps": 7, "lr_scheduler_type": "cosine"}, {"warmup_steps": 7, "schedule": "cosine"}),
    ({"warmup_steps": 0.25, "lr_scheduler_type": "constant_with_warmup"}, {"warmup_steps": 3, "schedule": "constant"}),
    ({"weight_decay": 0.1, "adam_beta1": 0.8, "adam_beta2": 0.95}, {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95}),
    ({"max_grad_norm": 0.0, "lr_scheduler_type": "polynomial"}, {"grad_clip": 1.0, "schedule": "constant"}),
    ({"max_grad_norm": 0.2}, {"grad_clip": 0.2}),
]


@pytest.mark.parametrize(("changed", "values"), OPTIMIZER)
def test_the_optimizer_is_in_the_record(changed, values):
    table = configured("grpo", replace(BATCH, **changed)).optimizer
    assert {name: getattr(table, name) for name in values} == values


# arguments that a script set -> values of recipe grpo
SET = [
    ({"num_generations": 16}, {"train.group_size": 16, "train.groups_per_step": 4}),
    ({"temperature": 0.6}, {"train.temperature": 0.6}),
    ({"epsilon": 0.1}, {"loss.clip_low": 0.1, "loss.clip_high": 0.1}),
    ({"epsilon": 0.1, "epsilon_high": 0.3}, {"loss.clip_low": 0.1, "loss.clip_high": 0.3}),
    ({"delta": 4.0}, {"loss.dual_clip": 4.0}),
    ({"beta": 0.04}, {"loss.kl_coefficient": 0.04, "loss.kl": "k3_corrected"}),
    ({"beta": 0.04, "use_bias_correction_kl": False}, {"loss.kl": "k3"}),
    ({"use_bias_correction_kl": False}, {"loss.kl": "k3", "loss.kl_coefficient": 0.0}),
    ({"loss_type": "grpo"}, {"loss.aggregation": "sequence_mean"}),
    ({"loss_type": "dr_grpo"}, {"loss.aggregation": "constant_length"}),
    ({"loss_type": "bnpo"}, {"loss.aggregation": "token_mean"}),
    ({"loss_type": "sapo"}, {"loss.aggregation": "sequence_mean", "loss.kind": "ppo_clip"}),
    ({"loss_type": "vespo"}, {"loss.aggregation": "token_mean"}),
    ({"loss_type": "luspo", "importance_sampling_level": "sequence"}, {"loss.aggregation": "constant_length"}),
    ({"loss_type": "cispo", "epsilon_high": 5.0}, {"loss.kind": "ppo_clip", "loss.clip_high": 4.0}),
    ({"loss_type": "cispo", "epsilon_high": 5.0, "num_iterations": 2}, {"loss.kind": "cispo", "loss.clip_high": 4.0}),
    ({"importance_sampling_level": "sequence"}, {"loss.kind": "ppo_clip"}),
    ({"importance_sampling_level": "sequence", "num_iterations": 3}, {"loss.kind": "gspo", "optimizer.epochs": 3}),
    ({"scale_rewards": "none"}, {"advantage.estimator": "dr_grpo", "advantage.epsilon": 1e-8}),
    ({"num_iterations": 2}, {"optimizer.epochs": 2, "loss.old_logprobs": "recompute", "train.steps": 5}),
    ({"gradient_accumulation_steps": 2}, {"train.groups_per_step": 16, "optimizer.minibatches": 1}),
    ({"gradient_accumulation_steps": 4, "steps_per_generation": 2, "num_iterations": 2}, {"train.groups_per_step": 16}),
    ({"world_size": 2}, {"train.groups_per_step": 16}),
    ({"generation_batch_size": 128, "steps_per_generation": 2}, {"optimizer.minibatches": 2, "train.steps": 5}),
    # more optimizer steps than groups count as passes: TRL divides by rows
    (
        {"per_device_train_batch_size": 2, "steps_per_generation": 8},
        {"optimizer.epochs": 8, "train.groups_per_step": 2},
    ),
]


@pytest.mark.parametrize(("changed", "values"), SET, ids=[str(changed) for changed, _ in SET])
def test_arguments_keep_their_meaning_beside_a_recipe_that_leaves_them_alone(changed, values):
    arguments = replace(BATCH, **changed)
    for recipe in ("grpo", "recycle"):
        config = configured(recipe, arguments)
        assert {path: value_at(config, path) for path in values} == values
        assert settled(config, arguments) == {}


def test_truncated_completions_are_left_out_once():
    arguments = replace(BATCH, mask_truncated_completions=True)
    config = configured("recycle", arguments)
    assert config.overlong.kind == "masked"
    assert settled(config, arguments) == {"mask_truncated_completions": False}


# tables -> (values, decided)
TABLES = [
    ({"train": {"group_size": 4}}, {"train.groups_per_step": 16}, {"num_generations": 4, "num_generations_eval": 8}),
    ({"train": {"temperature": 0.8}}, {}, {"temperature": 0.8}),
    ({"loss": {"clip_low": 0.1}}, {"loss.clip_high": 0.2}, {"epsilon": 0.1, "epsilon_high": 0.2}),
    ({"loss": {"clip_high": 0.3}}, {"loss.clip_low": 0.2}, {"epsilon_high": 0.3}),
    ({"loss": {"dual_clip": 3.0}}, {}, {"delta": 3.0}),
    ({"loss": {"kl_coefficient": 0.01}}, {"loss.kl": "k3_corrected"}, {"beta": 0.01}),
    (
        {"loss": {"kl_coefficient": 0.01, "kl": "k3"}},
        {"loss.kl": "k3"},
        {"beta": 0.01, "use_bias_correction_kl": False},
    ),
    ({"loss": {"aggregation": "sequence_mean"}}, {}, {"loss_type": "grpo"}),
    ({"base": "dapo", "recipe": "erpo"}, {"loss.clip_high": 0.28, "refill.max_rounds": 4}, {"epsilon_high": 0.28}),
    ({"advantage": {"deviation": "population"}}, {"advantage.epsilon": 1e-4}, {}),
    ({"advantage": {"estimator": "grpo", "epsilon": 1e-6}}, {"advantage.deviation": "sample"}, {}),
    ({"overlong": {"kind": "penalty", "buffer": 40}}, {"overlong.kind": "penalty"}, {}),
    ({"sizes": {"rule": "inverse_success", "maximum": 16}}, {"train.groups_per_step": 4, "train.group_size": 4}, {}),
    (
        {"recipe": "sgpo", "phases": {"constant": "rollouts"}},
        {"train.groups_per_step": 8, "train.group_size": 8},
        {},
    ),
    ({"task": {"binary_rewards": True, "success_threshold": 0.9}}, {"task.success_threshold": 0.9}, {}),
    ({"train": {"gate": "everything", "max_steps_without_signal": 3}}, {}, {}),
    ({"samples": {"per_step": 9}, "train": {}}, {"samples.per_step": 9}, {}),
    ({"loss": {"tis_cap": 2.0, "old_logprobs": "auto"}}, {"loss.old_logprobs": "auto"}, {}),
]


@pytest.mark.parametrize(("tables", "values", "decided"), TABLES, ids=[str(tables) for tables, *_ in TABLES])
def test_tables_decide_what_they_set(tables, values, decided):
    config = configured(tables)
    assert {path: value_at(config, path) for path in values} == values
    assert settled(config, BATCH) == decided


def test_log_probabilities_are_those_that_trl_computes_again():
    importance = {"recipe": "erpo", "loss": {"off_temperature": "importance"}}
    assert configured(importance).loss.old_logprobs == "auto"
    assert configured(importance, FOUR_STEPS).loss.old_logprobs == "recompute"
    assert configured({"loss": {"tis_cap": 2.0}}, FOUR_STEPS).loss.old_logprobs == "recompute"


def test_earlier_names_of_keys_are_read():
    with pytest.warns(RekindleWarning, match="train.clip_high is now loss.clip_high"):
        config = configured({"train": {"clip_high": 0.3}})
    assert settled(config, BATCH) == {"epsilon_high": 0.3}


def test_nothing_here_needs_trl_or_torch():
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'trl', 'datasets'): sys.modules[name] = None\n"
        "import rekindle.integrations.trl.settings.capabilities as capabilities\n"
        "import rekindle.integrations.trl.rows as rows\n"
        "assert capabilities.refusal_of('grpo') == '' and rows.tasks_of([{'prompt': 'a'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_recipe_is_a_name_a_file_or_tables(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('recipe = "erpo"\n[heating]\ndelta = 0.1\n', encoding="utf-8")
    tables = {"recipe": "erpo", "heating": {"delta": 0.1}}
    assert configured(tables) == configured(path) == configured(str(path))
    assert configured("erpo") == configured({"recipe": "erpo"})
    assert configured({}) == configured("grpo")


def test_rewards_are_in_the_record():
    names = [("score", 1.0), ("<lambda>", 2), ("org/model-1", 0.5), ("score", 3.0), ("mean", 1.0), ("logged", 0.0)]
    config = configured("grpo", rewards=[*names, ("length", -1.0)])
    assert [(one.function, one.weight) for one in config.rewards] == [
        ("given:score", 1.0),
        ("given:reward_lambda", 2.0),
        ("given:org_model_1", 0.5),
        ("given:score_4", 3.0),
        ("given:reward_mean", 1.0),
    ]
    assert all(one.in_process for one in config.rewards)


def test_steps_of_a_run_by_epochs_are_given():
    epochs = replace(BATCH, max_steps=-1)
    assert configured("grpo", epochs, steps=12).train.steps == 12
    assert configured("grpo", replace(epochs, num_iterations=4), steps=12).train.steps == 3
    # two epochs of 100 rows, 8 of them in a generation: 12 whole generations an epoch; of single rollouts one
    epochs = replace(epochs, num_train_epochs=2.0)
    of_rows = partial(run_settings, model="m", rewards=[("score", 1.0)], rows=100)
    assert of_rows("grpo", epochs).train.steps == 24
    assert of_rows("c_rf_ntf", epochs).train.steps == 2
    assert of_rows("grpo", replace(epochs, max_steps=5)).train.steps == 5
    assert epochs.updates_of(100, 8) == 24
    assert replace(FOUR_STEPS, num_train_epochs=1.5, gradient_accumulation_steps=2).updates_of(100, 8) == 36
    with pytest.raises(ConfigError, match=r"the run has no end; set train.steps \(GRPOConfig's max_steps\)"):
        configured("grpo", epochs)


def test_the_bound_of_cispo_is_that_of_the_ratio_itself_in_trl():
    """Whether the loss is chosen by the recipe or by loss_type."""
    bound = replace(FOUR_STEPS, epsilon_high=7.0)
    table = {"loss": {"kind": "cispo"}}
    for recipe, arguments in ((table, bound), ("grpo", replace(bound, loss_type="cispo"))):
        config = configured(recipe, arguments)
        assert (config.loss.kind, config.loss.clip_high, config.loss.aggregation) == ("cispo", 6.0, "token_mean")
        assert settled(config, arguments) == ({} if arguments.is_set("loss_type") else {"loss_type": "cispo"})
    assert configured("cispo", replace(FOUR_STEPS, epsilon_high=5.0)) == configured("cispo", FOUR_STEPS)


REFUSED = [
    # arguments, recipe, words
    ({"num_generations": 4}, "c_rf_ntf", "num_generations = 4 contradicts recipe 'c_rf_ntf', which has train.group_s"),
    ({"num_generations": 4}, "pods", "leave num_generations out of GRPOConfig, or choose another recipe"),
    (
        {"num_generations": 4},
        "sgpo",
        r'beside pool.kind = "phased" .recipe .sgpo.., which sizes groups; leave num_generations out of GRPOConfig$',
    ),
    (
        {"num_generations": 4},
        {"sizes": {"rule": "inverse_success"}},
        r'beside sizes.rule = "inverse_success" .*, which sizes groups; leave',
    ),
    ({"temperature": 0.7}, {"train": {"temperature": 0.8}}, "temperature = 0.7 contradicts recipe 'grpo', which has"),
    ({"epsilon_high": 0.3}, "dapo", "epsilon_high = 0.3 contradicts recipe 'dapo', which has loss.clip_high = 0.28"),
    (
        {"epsilon": 0.1},
        {"loss": {"clip_low": 0.3}},
        "epsilon = 0.1 contradicts .*; leave epsilon out of GRPOConfig, or remove loss.clip_low",
    ),
    ({"beta": 0.1}, {"loss": {"kl_coefficient": 0.01}}, "beta = 0.1 contradicts"),
    ({"delta": 4.0}, {"loss": {"dual_clip": 3.0}}, "delta = 4.0 contradicts"),
    ({"loss_type": "dr_grpo"}, "rloo", "loss_type = 'dr_grpo' contradicts recipe 'rloo', which has loss.aggregation"),
    ({"loss_type": "sapo"}, "dapo", "loss_type = 'sapo' contradicts recipe 'dapo', which has loss.aggregation"),
    (
        {"loss_type": "bnpo"},
        {"loss": {"clip_high": 0.28}},
        "loss_type = 'bnpo' is a loss of TRL's own, .* sets loss.cl",
    ),
    ({"loss_type": "cispo", "epsilon_high": 5.0}, {"loss": {"clip_low": 0.1}}, "is a loss of TRL's own"),
    ({"loss_type": "cispo"}, "grpo", "would bound it at 1 or less; set epsilon_high = 5.0"),
    ({"loss_type": "new"}, "grpo", "loss_type = 'new' is unknown here; choose one of dapo, grpo"),
    ({"importance_sampling_level": "sequence", "num_iterations": 2}, "cispo", "contradicts recipe 'cispo'"),
    ({"scale_rewards": "none"}, "rloo", "scale_rewards = 'none' contradicts recipe 'rloo'"),
    ({"scale_rewards": "batch"}, "grpo", 'leave scale_rewards out, and give recipe=.*"reinforce_pp_baseline"'),
    ({"multi_objective_aggregation": "normalize_then_sum"}, "grpo", 'set multi_objective_aggregation = "sum_then_nor'),
    ({"use_transformers_continuous_batching": True}, "grpo", "one temperature for all rows and no seeds; leave it out"),
    ({"max_completion_length": None}, "grpo", "max_completion_length = None sets no limit"),
    ({"generation_kwargs": {"temperature": 2.0}}, "grpo", "generation_kwargs has 'temperature', which every request"),
    (
        {"mask_truncated_completions": True},
        {"overlong": {"kind": "penalty"}},
        "mask_truncated_completions = True contra",
    ),
    ({}, "gspo", r"makes one of it; set steps_per_generation = 4 \(4 x gradient_accumulation_steps\)"),
    ({"gradient_accumulation_steps": 2}, "cispo", "set steps_per_generation = 8"),
    (
        {"num_generations": 2, "per_device_train_batch_size": 4},
        "spo",
        r"out of GRPOConfig, and make the generation batch .* a multiple of its default, 8, as TRL",
    ),
    ({"num_generations": 2, "per_device_train_batch_size": 4}, "sgpo", "a multiple of its default, 8, as TRL checks"),
    ({}, {"loss": {"kind": "cispo"}}, "epsilon_high = None would bound it at 1 or less; set epsilon_high = 5.0"),
    ({}, {"recipe": "cispo", "loss": {"aggregation": "sequence_mean"}}, "is a mean over tokens in TRL"),
    ({"steps_per_generation": 4, "epsilon_high": 3.0}, "cispo", "epsilon_high = 3.0 contradicts recipe 'cispo'"),
    ({}, "self_play", "makes its own prompts, and TRL trains on those of a dataset; use rekindle train"),
    ({}, "self_play_paper", "makes its own prompts"),
    ({}, "erppo", "recipe 'erppo' is unknown; did you mean erpo?"),
    ({}, {"recipe": ["erpo"]}, "is unknown"),
    ({}, 3, r'recipe is 3, and it takes a name \("recycle"\), the path of a TOML file, or tables'),
    (
        {"num_generations": 7},
        "grpo",
        "a group has 7 rollouts, and the generation batch .* is 64; make it a multiple of 7",
    ),
    (
        {"per_device_train_batch_size": 8},
        "speed",
        "up to 28 rollouts, and the generation batch .*; make it at least 28",
    ),
    ({"per_device_train_batch_size": 8}, "pods", "make it a multiple of 16"),
    (
        {"importance_sampling_level": "sequence"},
        "rl_zvp",
        "advantage.zero_variance_scale gives tokens different weights",
    ),
    ({"importance_sampling_level": "sequence"}, "c_rf_ntf", 'set importance_sampling_level = "token"'),
    (
        {"use_vllm": True},
        {"recipe": "erpo", "loss": {"off_temperature": "ignore"}},
        "would weigh against vLLM's at the raised one; set vllm_importance_sampling_correction = False",
    ),
    ({"use_vllm": True}, {"loss": {"tis_cap": 2.0}}, "set vllm_importance_sampling_correction = False"),
    ({"temperature": -1.0}, "grpo", r"recipe: train.temperature \(GRPOConfig's temperature\) = -1.0: input should be"),
    (
        {"temperature": 1.5},
        "erpo",
        r"heating.maximum = 1.2 is below train.temperature \(GRPOConfig's temperature\) = 1",
    ),
    ({}, {"loss": {"kl": "k3_corrected"}}, r"would not be read; set loss.kl_coefficient \(GRPOConfig's beta\) = 0.01"),
    ({}, {"pool": {"kindd": "x"}}, "recipe: pool.kindd: unknown key; did you mean pool.kind?"),
    ({}, {"heatign": {"delta": 1.0}}, "heatign.*unknown key"),
    ({}, {"heating": {"delta": "hot"}}, 'recipe: heating.delta = "hot": input should be a valid number'),
    ({}, {"train": 3}, r"recipe: train = 3 is no table; write"),
    ({}, {"loss": 3}, r"recipe: loss = 3 is no table; write .\"loss\": .\"key\": value"),
    (
        {},
        {"loss": {"aggregation": "group_token_mean"}},
        '"group_token_mean" has no loss_type in TRL; remove it and set loss_type, or choose token_mean',
    ),
    ({}, {"loss": {"old_logprobs": "engine"}}, 'loss.old_logprobs = "engine" belongs to TRL'),
    ({}, {"recipe": "recycle", "train": {"gate": "everything"}}, "train.gate"),
    ({}, {"recipe": "erpo", "task": {"binary_rewards": False}}, "heating.delta needs 0/1 rewards; set task.binary_rew"),
]


@pytest.mark.parametrize(("changed", "recipe", "words"), REFUSED, ids=[f"{two} {one}" for one, two, _ in REFUSED])
def test_contradictions_and_what_trl_cannot_do_are_refused_by_name(changed, recipe, words):
    with pytest.raises(ConfigError, match=words):
        configured(recipe, replace(BATCH, **changed))


@pytest.mark.parametrize("path", ["optimizer.batch_exponent", "engine.top_p", "search.max_turns", "eval.every"])
def test_a_recipe_that_sets_a_key_without_a_place_in_trl_is_refused(path):
    table, key = path.split(".")
    preset = grpo().model_dump(mode="json", exclude_none=True)
    refuse_preset(preset)
    preset[table][key] = preset[table][key] / 2 if key == "top_p" else preset[table][key] + 1
    with pytest.raises(ConfigError, match=rf'recipe = "grpo" sets {path}, for which TRL has no place; use rekindle tr'):
        refuse_preset(preset)


def test_without_vllm_its_correction_is_not_read():
    for extra in ({"tis_cap": 2.0}, {"off_temperature": "ignore"}):
        recipe = {"recipe": "erpo", "loss": extra}
        assert configured(recipe) == configured(recipe, replace(BATCH, vllm_importance_sampling_correction=False))
        configured(recipe, replace(BATCH, use_vllm=True, vllm_importance_sampling_correction=False))


def test_weights_that_no_rollout_can_win_are_refused():
    with pytest.raises(ConfigError, match="has no weight above 0, so that no rollout could succeed; give a reward one"):
        configured("grpo", rewards=[("one", 0.0), ("two", -1.0)])


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "num_generations": st.sampled_from([2, 4, 16]),
        "temperature": st.sampled_from([0.7, 1.1]),
        "epsilon": st.sampled_from([0.1, 3e-4]),
        "epsilon_high": st.sampled_from([0.28, 0.3, 1.07, 5.0]),
        "delta": st.just(4.0),
        "beta": st.just(0.04),
        "use_bias_correction_kl": st.just(False),
        "loss_type": st.sampled_from(sorted(AGGREGATION)),
        "importance_sampling_level": st.just("sequence"),
        "scale_rewards": st.just("none"),
        "num_iterations": st.just(2),
        "steps_per_generation": st.sampled_from([2, 4]),
        "gradient_accumulation_steps": st.sampled_from([2, 3]),
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
                "clip_high": st.sampled_from([0.1, 0.28, 4.07]),
                "aggregation": st.sampled_from(["token_mean", "sequence_mean", "constant_length"]),
                "kl_coefficient": st.just(0.01),
                "dual_clip": st.just(3.0),
            },
        ),
    },
)


@settings(deadline=None, max_examples=100)
@given(recipe=st.sampled_from(sorted(RECIPE_TABLE)), changes=CHANGES, extras=EXTRAS)
def test_what_a_recipe_decides_gives_the_same_configuration_again(recipe, changes, extras):
    arguments, tables = replace(BATCH, **changes), {"recipe": recipe, **extras}
    try:
        config = configured(tables, arguments)
    except ConfigError:
        return
    decided: dict[str, Any] = {**settled(config, arguments)}
    again = replace(arguments, **decided)
    assert configured(tables, again) == config
    assert settled(config, again) == {}


def test_arguments_are_read_from_any_object():
    assert Arguments.of(SimpleNamespace()) == DEFAULTS
    assert Arguments.of(SimpleNamespace(scale_rewards=False, beta=0.1)).scale_rewards == "none"
    assert Arguments.of(SimpleNamespace(scale_rewards=True)).scale_rewards == "group"
    whole = replace(BATCH, beta=0.3, loss_type="grpo")
    assert Arguments.of(SimpleNamespace(**{one.name: getattr(whole, one.name) for one in fields(whole)})) == whole


def test_recipes_that_choose_nothing_keep_trls_denominators():
    several = {"gspo": FOUR_STEPS, "cispo": FOUR_STEPS}
    found = {name for name in on_given_tasks() if counts_silent(configured(name, several.get(name, BATCH)))}
    assert found == {"grpo", "dr_grpo", "rloo", "maxrl", "gspo", "cispo"}
