"""The launch files of examples/verl, composed and validated by the installed verl, without Ray and without a GPU."""

import importlib.util
import itertools
import warnings
from functools import cache
from pathlib import Path

import pytest
import verl.trainer
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.workers.config import HFModelConfig

from rekindle.integrations.verl import reward, reward_manager
from rekindle.integrations.verl.settings.command import check_with_verl, command_of
from rekindle.integrations.verl.settings.environments import agent_loop_of
from rekindle.integrations.verl.settings.settling import decided_by
from rekindle.planning.shapes import SHAPES
from rekindle.recipes import RECIPES

ROOT = Path(__file__).parents[2]
CONFIG = Path(verl.trainer.__file__).parent / "config"
ROWS = {"gsm8k": 7_473, "math": 7_500, "dapo_math": 17_398, "search": 169_615}
"""Rows of the training files."""
OPEN = ("+rekindle.", "+data.apply_chat_template_kwargs.")
"""What a launch may add: verl's configuration has no keys below them."""


def script():
    spec = importlib.util.spec_from_file_location("make_verl_sizes", ROOT / "docs" / "make_verl_sizes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = script()
LAUNCHES = list(itertools.product(SCRIPT.TASKS, SCRIPT.SIZES, SCRIPT.ENGINES, SCRIPT.NODES))


@cache
def composed(task, size, engine, nodes):
    """verl's configuration with the overrides of a launch."""
    printed = SCRIPT.overrides(task, size, engine, nodes)
    with initialize_config_dir(str(CONFIG), version_base=None):
        return compose("ppo_trainer", printed)


@pytest.fixture(params=LAUNCHES, ids=lambda one: "-".join(map(str, one)))
def launch(request):
    return request.param


@pytest.fixture
def config(launch):
    return composed(*launch)


def test_verl_accepts_the_configuration(config):
    """As its entry point does before it starts Ray, and as workers do with their parts of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no critic
        assert not need_critic(config)
        validate_config(config, need_reference_policy(config), use_critic=False)
    settings = config.actor_rollout_ref
    actor, rollout = omega_conf_to_dataclass(settings.actor), omega_conf_to_dataclass(settings.rollout)
    omega_conf_to_dataclass(config.algorithm)
    OmegaConf.merge(OmegaConf.structured(HFModelConfig), settings.model)
    assert actor.engine.strategy == "fsdp2"
    assert actor.use_dynamic_bsz == rollout.log_prob_use_dynamic_bsz
    assert rollout.name == settings.rollout.name


CHECKED = [
    *(one for one in LAUNCHES if one[2:] == ("vllm", 1) and one[0] != "search"),
    ("gsm8k", "7b", "sglang", 4),
    ("search", "7b", "vllm", 1),
]


@pytest.mark.parametrize("checked", CHECKED, ids=str)
def test_rekindle_accepts_it_with_the_recipe(checked):
    """As `rekindle verl --dry-run` does."""
    check_with_verl(command_of(None, SCRIPT.overrides(*checked)))


@pytest.mark.parametrize("size", SCRIPT.SIZES)
def test_the_agent_loop_is_that_of_the_tables(size):
    config = composed("search", size, "vllm", 1)
    settings, _ = decided_by(config)
    assert agent_loop_of(settings) == config.actor_rollout_ref.rollout.agent.default_agent_loop
    assert settings.search.prompt == "{question}"
    assert settings.retriever.url == "http://127.0.0.1:8000/retrieve"
    documents = (settings.search.max_turns - 1) * settings.search.documents * settings.search.document_tokens
    assert settings.engine.max_new_tokens + documents == config.data.max_response_length


def test_no_reference_policy_takes_memory(config):
    assert not need_reference_policy(config)


def test_only_what_verl_leaves_open_is_added(launch):
    added = [one for one in SCRIPT.overrides(*launch) if one.startswith("+")]
    assert "+rekindle.recipe=recycle" in added
    assert all(one.startswith(OPEN) for one in added)


def test_the_tables_of_the_recipe_have_these_keys(config):
    for table, keys in OmegaConf.to_container(config.rekindle).items():
        if table != "recipe":
            assert set(keys) <= set(type(getattr(RECIPES["recycle"](), table)).model_fields)


def test_batches_divide_over_gpus_engines_and_heads(config):
    gpus = config.trainer.nnodes * config.trainer.n_gpus_per_node
    settings, data = config.actor_rollout_ref, config.data
    mini, n, parallel = (
        settings.actor.ppo_mini_batch_size,
        settings.rollout.n,
        settings.rollout.tensor_model_parallel_size,
    )
    assert data.train_batch_size % mini == 0
    assert mini * n % gpus == 0
    assert gpus % parallel == 0
    assert config.trainer.n_gpus_per_node % parallel == 0
    model = SHAPES[settings.model.path]
    assert model.heads % parallel == 0
    assert model.kv_heads % parallel == 0


def test_the_longest_rollout_fits_into_a_micro_batch(config):
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu >= longest
    rollout = config.actor_rollout_ref.rollout
    assert rollout.prompt_length + rollout.response_length == longest
    assert rollout.log_prob_max_token_len_per_gpu >= longest


def test_the_epochs_suffice_for_the_steps(launch, config):
    epoch = ROWS[launch[0]] // config.data.train_batch_size
    assert epoch * config.trainer.total_epochs >= config.trainer.total_training_steps


def test_verl_finds_the_verifiers(config):
    from verl.trainer.ppo.reward import get_custom_reward_fn, resolve_reward_manager_cls

    assert resolve_reward_manager_cls(config) is reward_manager.PromptRewardManager
    assert get_custom_reward_fn(config) is None


def test_the_reward_function_can_be_named_alone():
    from verl.utils.import_utils import load_extern_object

    found = load_extern_object("pkg://rekindle.integrations.verl.reward", "compute_score")
    assert found is reward.compute_score


def test_offload_is_for_the_largest_model_on_one_node_alone():
    on_host = {
        (size, nodes)
        for task, size, engine, nodes in LAUNCHES
        if composed(task, size, engine, nodes).actor_rollout_ref.actor.fsdp_config.offload_policy
    }
    assert on_host == {("32b", 1)}


def test_an_unknown_key_is_no_silent_one():
    from hydra.errors import ConfigCompositionException

    printed = [*SCRIPT.overrides("gsm8k", "7b"), "trainer.total_training_step=3"]
    with initialize_config_dir(str(CONFIG), version_base=None), pytest.raises(ConfigCompositionException):
        compose("ppo_trainer", printed)
