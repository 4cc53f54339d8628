"""Settings against the installed verl: its composed configuration, its checks, its estimators and its losses."""

import math
import os
import re
import tomllib
import warnings
from pathlib import Path

import pytest

pytest.importorskip("verl.trainer.ppo", reason="verl is not installed: make test-verl")

import numpy as np
import torch
import verl
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_weights
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

from rekindle.cli import main
from rekindle.config import ConfigError, dump_toml, validate
from rekindle.config.facts import solver_estimator
from rekindle.integrations.verl.settings import check_before_ray, settle
from rekindle.integrations.verl.settings.capabilities import capabilities
from rekindle.integrations.verl.settings.command import command_of
from rekindle.integrations.verl.settings.impossible import NO_EFFECT, WITHOUT_OURS
from rekindle.integrations.verl.settings.links import AGGREGATION, ESTIMATORS, LINKS, LOSS
from rekindle.integrations.verl.settings.run_settings import run_settings
from rekindle.integrations.verl.settings.tables import SETTINGS
from rekindle.integrations.verl.settings.values import (
    ADDED,
    DEFAULTS,
    MANAGER,
    MODES,
    Values,
    composed_by_default,
)
from rekindle.learning.aggregation import named_aggregation
from rekindle.learning.estimators import Compared
from rekindle.learning.losses.importance import importance_weights
from rekindle.types import UserError

ACCEPTED = [name for name, one in capabilities().items() if not one.refusal]
NEEDED = [
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=4",
    "trainer.n_gpus_per_node=4",
]
"""What every command of verl's has to set."""
USERS = ["algorithm.adv_estimator=grpo", "data.train_batch_size=64", "actor_rollout_ref.actor.ppo_mini_batch_size=16"]


def composed(*overrides, name="ppo_trainer"):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(name, [*NEEDED, *USERS, *overrides])


def of_recipe(recipe, *overrides, mode="rekindle"):
    size = ["actor_rollout_ref.rollout.n=8"] if capabilities()[recipe].sized else []
    return composed(*size, f"+rekindle.recipe={recipe}", f"trainer.v1.trainer_mode={mode}", *overrides)


def has(config, path):
    node = config
    for part in path.split("."):
        node = node._get_node(part, validate_access=False) if OmegaConf.is_dict(node) else None
    return node is not None


@pytest.fixture(scope="module")
def stock():
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer")


def test_defaults_are_those_of_verl(stock):
    found = Values.of(OmegaConf.to_container(stock, resolve=True))
    assert [path for path in DEFAULTS if found.is_set(path)] == []
    assert [path for path in composed_by_default() if not has(stock, path)] == []
    assert [path for path in ADDED if has(stock, path)] == []


def test_messages_name_settings_that_verl_has(stock):
    named = {name for words in SETTINGS.values() for name in re.findall(r"([a-z][\w.]+)=", words)}
    assert len(named) > 30
    assert [name for name in named if not has(stock, name)] == []
    assert [path for path in [*(link.name for link in LINKS), *NO_EFFECT] if path not in DEFAULTS] == []


def test_names_of_estimators_and_losses_are_those_of_verl():
    estimators = {one.value for one in core_algos.AdvantageEstimator}
    assert {*ESTIMATORS, *WITHOUT_OURS} <= estimators
    assert set(LOSS) <= set(core_algos.POLICY_LOSS_REGISTRY)


@pytest.mark.parametrize("recipe", ACCEPTED)
def test_a_settled_configuration_passes_verls_checks_and_is_settled_once(recipe):
    config = of_recipe(recipe)
    ours = settle(config)
    assert ours.recipe == recipe
    assert config.actor_rollout_ref.rollout.agent.agent_loop_manager_class == MANAGER
    with warnings.catch_warnings(action="ignore"):  # verl says that there is no critic
        assert not need_critic(config)
        validate_config(config, need_reference_policy(config), need_critic(config))
    before = OmegaConf.to_container(config, resolve=True)
    assert settle(config) == ours
    assert OmegaConf.to_container(config, resolve=True) == before
    assert validate(tomllib.loads(dump_toml(ours)), "config.toml").train == ours.train


@pytest.mark.parametrize("engine", ["megatron", "veomni", "torchtitan"])
def test_other_engines_are_settled_too(engine):
    assert settle(of_recipe("recycle", f"model_engine={engine}")).train.learning_rate == 1e-6
    if engine == "torchtitan":
        with pytest.raises(ConfigError, match="torchtitan has one temperature for all rows"):
            settle(of_recipe("erpo", f"model_engine={engine}"))
    else:
        settle(of_recipe("erpo", f"model_engine={engine}"))


def test_what_a_recipe_decides_is_in_verls_configuration():
    config = of_recipe("gspo", "+rekindle.loss.kl_coefficient=0.01")
    settle(config)
    actor = config.actor_rollout_ref.actor
    assert (actor.policy_loss.loss_mode, actor.loss_agg_mode) == ("gspo", "seq-mean-token-mean")
    assert (actor.clip_ratio_low, actor.clip_ratio_high) == (3e-4, 4e-4)
    assert (actor.use_kl_loss, actor.kl_loss_coef) == (True, 0.01)
    assert need_reference_policy(config)


def test_the_recipes_file_is_read_once(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('recipe = "erpo"\n[heating]\ndelta = 0.1\n', encoding="utf-8")
    config = composed(
        "actor_rollout_ref.rollout.n=8",
        f"+rekindle.recipe={path}",
        "+rekindle.heating.maximum=1.4",
        "trainer.v1.trainer_mode=rekindle",
    )
    ours = settle(config)
    path.unlink()
    assert (ours.recipe, ours.heating.delta, ours.heating.maximum) == ("erpo", 0.1, 1.4)
    assert settle(config) == ours


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_settled(mode):
    separate = [
        "actor_rollout_ref.rollout.nnodes=1",
        "actor_rollout_ref.rollout.checkpoint_engine.backend=nccl",
    ]
    ours = settle(of_recipe("recycle", *separate, mode=mode))
    assert (ours.train.groups_per_step, ours.optimizer.minibatches) == ((16, 1) if "separate" in mode else (64, 4))


def test_a_refusal_before_ray_is_a_sentence_and_code_2(capsys):
    refused = {
        "has no effect": of_recipe("recycle", "data.gen_batch_size=8"),
        "does not read the table rekindle; set trainer.v1.trainer_mode=rekindle": of_recipe("recycle", mode="sync"),
        "set trainer.v1.trainer_mode=rekindle_colocate_async": of_recipe("recycle", mode="colocate_async"),
        "the trainer mode needs a recipe": composed("trainer.v1.trainer_mode=rekindle"),
        "cannot be read (Interpolation key 'nothing' not found)": of_recipe("recycle", "data.seed=${nothing}"),
    }
    for words, config in refused.items():
        with pytest.raises(SystemExit) as ended:
            check_before_ray(config)
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert words in said
        assert len(said.splitlines()) == 1
        assert said.startswith("rekindle: ")


def test_a_run_of_verls_own_is_left_alone(capsys):
    config = composed()
    before = OmegaConf.to_container(config)
    check_before_ray(config)
    assert OmegaConf.to_container(config) == before
    ours = of_recipe("recycle", "data.shuffle=False")
    check_before_ray(ours)
    note = "rekindle: warning: data.shuffle=False has no effect: the recipe draws the prompts\n"
    assert capsys.readouterr().err == note
    assert ours.actor_rollout_ref.rollout.agent.agent_loop_manager_class == MANAGER


# -- equal numbers ----------------------------------------------------------------------------------------------------

GROUPS = [[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.3, -2.5], [0.0, 0.0, 0.0, 0.0, 1.0], [0.25, 0.5, 0.75, 1.0]]
LENGTHS = [[3, 1, 4, 2], [2, 5, 1], [1, 6], [2, 2, 3, 1, 1], [5, 4, 3, 2]]


def of_verl(name, **more):
    """Advantages of verl's estimator, a number per rollout."""
    lengths = [length for group in LENGTHS for length in group]
    mask = torch.tensor([[float(place < length) for place in range(max(lengths))] for length in lengths])
    rewards = torch.zeros_like(mask)
    for row, reward in enumerate(reward for group in GROUPS for reward in group):
        rewards[row, lengths[row] - 1] = reward
    index = np.array([f"g{number}" for number, group in enumerate(GROUPS) for _ in group], dtype=object)
    found, _ = core_algos.get_adv_estimator_fn(name)(
        token_level_rewards=rewards, response_mask=mask, index=index, **more
    )
    assert torch.equal(found, found * mask)
    return found[:, 0].tolist()


def of_ours(config):
    units = named_aggregation(config.loss.aggregation, 512).units
    flat = [length for group in LENGTHS for length in group]
    each = iter(units(flat, [number for number, group in enumerate(LENGTHS) for _ in group]))
    compared = [Compared(rewards, units=[next(each) for _ in rewards]) for rewards in GROUPS]
    return [value for values in solver_estimator(config).function(compared) for value in values]


def configured(*overrides):
    return settle(composed("actor_rollout_ref.rollout.n=4", "trainer.v1.trainer_mode=rekindle", *overrides))


@pytest.mark.parametrize(
    ("overrides", "name", "more"),
    [
        (["+rekindle.recipe=grpo"], "grpo", {}),
        (["+rekindle.recipe=recycle"], "grpo_vectorized", {}),
        (
            ["+rekindle.recipe=grpo", "algorithm.norm_adv_by_std_in_grpo=False"],
            "grpo",
            {"norm_adv_by_std_in_grpo": False},
        ),
        (["+rekindle.recipe=dr_grpo"], "grpo", {"norm_adv_by_std_in_grpo": False}),
        (["+rekindle.recipe=rloo"], "rloo", {}),
        (["+rekindle.recipe=reinforce_pp_baseline"], "reinforce_plus_plus_baseline", {}),
        (["+rekindle.recipe=reinforce_pp"], "reinforce_plus_plus", {"config": OmegaConf.create({"gamma": 1.0})}),
    ],
)
def test_advantages_are_those_of_verl(overrides, name, more):
    assert of_ours(configured(*overrides)) == pytest.approx(of_verl(name, **more), abs=2e-6)


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_an_aggregation_is_that_of_verl(mode):
    """The loss of a batch whose token losses differ; the constant of the last one is the completion limit."""
    lengths = [length for group in LENGTHS for length in group]
    members = [number for number, group in enumerate(LENGTHS) for _ in group]
    mask = torch.tensor([[float(place < length) for place in range(8)] for length in lengths], dtype=torch.float64)
    losses = torch.arange(mask.numel(), dtype=torch.float64).reshape(mask.shape).sin()
    weights = named_aggregation(AGGREGATION[mode], 512)(lengths, members)
    ours = sum(weight * float((row * own).sum()) for weight, row, own in zip(weights, losses, mask, strict=True))
    theirs = core_algos.agg_loss(losses, mask, mode, loss_scale_factor=512)
    assert math.isclose(ours, float(theirs), rel_tol=1e-6)  # verl adds 1e-8 to the lengths


def test_weights_of_tokens_are_those_of_verl():
    config = settle(of_recipe("recycle", "algorithm.rollout_correction.rollout_is=token"))
    assert config.loss.tis_cap == 2.0
    ratios = torch.tensor([[0.1, -0.2, 0.9, -3.0]])
    mask = torch.ones_like(ratios)
    theirs, _ = compute_rollout_correction_weights(ratios, mask, rollout_is="token", rollout_is_threshold=2.0)
    ours = importance_weights(ratios, torch.zeros_like(ratios), torch.full_like(ratios, config.loss.tis_cap))
    assert torch.allclose(ours, theirs)


# -- the command ------------------------------------------------------------------------------------------------------

ASKED = [*NEEDED, "data.train_batch_size=64", "actor_rollout_ref.actor.ppo_mini_batch_size=16"]
SIZE = "actor_rollout_ref.rollout.n=8"


def test_the_command_has_what_the_recipe_needs():
    command = command_of("recycle", [*ASKED, SIZE, "trainer.v1.trainer_mode=colocate_async"])
    assert list(command.arguments) == [
        *ASKED,
        SIZE,
        "algorithm.adv_estimator=grpo",
        "trainer.v1.trainer_mode=rekindle_colocate_async",
        "+rekindle.recipe=recycle",
    ]
    assert str(command).startswith("python -m verl.trainer.main_ppo actor_rollout_ref")
    given = command_of(None, [*ASKED, "algorithm.adv_estimator=rloo", SIZE, "+rekindle.recipe=recycle"])
    assert list(given.arguments[-3:]) == [SIZE, "+rekindle.recipe=recycle", "trainer.v1.trainer_mode=rekindle"]
    assert command_of("dapo", [*ASKED, SIZE]).decided["actor_rollout_ref.actor.clip_ratio_high"] == 0.28


def test_another_configuration_of_verl_is_composed():
    command = command_of("erpo", ["--config-name=ppo_megatron_trainer.yaml", *ASKED, SIZE])
    assert command.arguments[0] == "--config-name=ppo_megatron_trainer.yaml"
    assert command.config.actor_rollout_ref.actor.strategy == "megatron"
    short = command_of("erpo", ["-cp", "config", "-cn", "ppo_megatron_trainer", *ASKED, SIZE])
    assert list(short.arguments[:2]) == ["--config-path=config", "--config-name=ppo_megatron_trainer"]
    assert short.config == command.config


def test_a_configuration_of_ones_own_is_composed_from_its_folder(tmp_path):
    folder = Path(verl.__file__).parent / "trainer" / "config"
    (tmp_path / "mine.yaml").write_text(
        f"hydra:\n  searchpath:\n    - file://{folder}\ndefaults:\n  - ppo_trainer\n  - _self_\n"
        "actor_rollout_ref:\n  rollout:\n    n: 5\n",
        encoding="utf-8",
    )
    command = command_of("recycle", [f"--config-path={tmp_path}", "--config-name=mine", *ASKED])
    assert command.config.actor_rollout_ref.rollout.n == 5


@pytest.mark.parametrize(
    ("recipe", "overrides", "words"),
    [
        ("recycle", ["foo.bar=1"], "verl's configuration: Could not override 'foo.bar'; To append to your config use"),
        ("recycle", ["data.seed"], "verl's configuration: "),
        ("recycle", ["data.seed=[1"], "verl's configuration: "),
        ("recycle", ["--cfg", "job"], "--cfg is no override of verl's configuration"),
        ("recycle", ["--config-name=nothing"], "verl's configuration: Cannot find primary config 'nothing'"),
        ("recycle", ["trainer.v1.trainer_mode=fast"], "has no counterpart; choose sync, colocate_async, separate"),
        ("recycle", ["+rekindle.recipe=erpo"], "name two recipes; leave one out"),
        (None, [], "the trainer mode needs a recipe; add +rekindle.recipe=recycle"),
        ("recycel", [], "did you mean recycle?"),
        ("recycle", ["algorithm.adv_estimator=gae"], "needs a critic"),
        ("recycle", ["+rekindle.pool.kidn=x"], "pool.kidn: unknown key; did you mean pool.kind?"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_code_2(recipe, overrides, words, capsys):
    options = [] if recipe is None else ["--recipe", recipe]
    assert main(["verl", *options, "--dry-run", "--", *ASKED, SIZE, *overrides]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""


def test_a_dry_run_checks_with_verl_and_prints_the_command(capsys):
    assert main(["verl", "--recipe", "dapo", "--print", "--", *ASKED, SIZE]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(command_of("dapo", [*ASKED, SIZE]))]
    assert "set by the recipe: actor_rollout_ref.actor.clip_ratio_high=0.28" in said.err
    lacking = [one for one in ASKED if "log_prob_micro" not in one]
    assert main(["verl", "--recipe", "dapo", "--dry-run", "--", *lacking, SIZE]) == 2
    assert "verl refuses the configuration: [actor_rollout_ref.rollout] Please set at least" in capsys.readouterr().err


def test_without_a_dry_run_the_command_takes_the_place_of_ours(monkeypatch):
    class BecameAnotherError(Exception):
        pass

    def become(program, words):
        raise BecameAnotherError(program, *words)

    monkeypatch.setattr(os, "execv", become)
    with pytest.raises(BecameAnotherError) as became:
        main(["verl", "--recipe", "recycle", "--", *ASKED, SIZE])
    program, first, *words = became.value.args
    assert (program, words[:2]) == (first, ["-m", "verl.trainer.main_ppo"])
    assert words[2:] == list(command_of("recycle", [*ASKED, SIZE]).arguments)


def test_every_recipe_has_the_same_settings_from_verl_as_from_its_defaults(stock):
    """The table of defaults stands for verl where verl is not installed."""
    nested = OmegaConf.to_container(stock, resolve=True)
    for recipe in ACCEPTED:
        changes: dict[str, object] = {"algorithm.adv_estimator": "grpo"}
        if capabilities()[recipe].sized:
            changes["actor_rollout_ref.rollout.n"] = 8
        ours, theirs = (Values.of(found).changed(changes) for found in ({}, nested))
        assert run_settings({"recipe": recipe}, ours) == run_settings({"recipe": recipe}, theirs)


def test_verl_has_to_be_installed(monkeypatch):
    import rekindle.integrations.verl.settings.command as module

    for missing in ("verl", "hydra"):
        monkeypatch.setattr(module, "find_spec", lambda name, gone=missing: None if name == gone else find(name))
        with pytest.raises(UserError, match=rf"^{missing} is not installed; run: pip install"):
            command_of("recycle", [])


def find(name):
    from importlib.util import find_spec

    return find_spec(name)
