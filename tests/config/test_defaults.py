"""Defaults that suit the model: one table of cases, shown in the documentation and applied where a key is not set."""

import json

import pytest

from rekindle import hardware
from rekindle.config import Config, dump_toml, read_toml
from rekindle.config.defaults import Computed
from rekindle.config.facts import fewest_steps, short_warm_up
from rekindle.config.keys import keys_of
from rekindle.recipes import RECIPES, resolve
from rekindle.tasks.loading import load_tasks

CASES = {key.path: key.cases for key in keys_of(Config) if key.cases}
WORLDLY = "[model]\npath = 'm'\n[task]\nsource = 'jsonl'\npath = 't.jsonl'\n[train]\nsteps = 300\n"
PLAYED = "[model]\npath = 'm'\n[train]\nsteps = 300\n"
TINY = "[train]\nsteps = 300\n"


@pytest.fixture
def resolved(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "_cpu_flags", set)
    monkeypatch.setattr(hardware, "has_gpu_driver", lambda: False)

    def resolve_text(text, recipe=None, *overrides, saved=()):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return resolve(path, recipe, overrides, saved=dict(saved))

    return resolve_text


def chosen(config):
    optimizer, engine = config.optimizer, config.engine
    return (
        config.train.learning_rate, optimizer.warmup_steps, engine.max_new_tokens, config.model.dtype,
        config.eval.prompts,
    )  # fmt: skip


def test_what_a_pretrained_model_gets_and_the_tiny_one_keeps(resolved):
    assert chosen(resolved(WORLDLY)) == (1e-6, 20, 512, "float32", None)
    assert chosen(resolved(TINY)) == (5e-4, 20, 24, "float32", 256) == chosen(Config())


def test_every_key_with_cases_can_be_set_also_to_the_default_of_a_tiny_model(resolved):
    given = {"train.learning_rate": 5e-4, "optimizer.warmup_steps": 20, "engine.max_new_tokens": 24,
             "model.dtype": "bfloat16", "eval.prompts": 3}  # fmt: skip
    assert set(given) | {"task.binary_rewards", "task.success_threshold"} == set(CASES), "these two are of [[rewards]]"
    config = resolved(
        WORLDLY.replace("300", "50"), None, *(f"{key}={json.dumps(value)}" for key, value in given.items())
    )
    assert chosen(config) == tuple(given.values())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_above_the_defaults_of_the_model_and_below_the_file(recipe, resolved):
    text = PLAYED if RECIPES[recipe]().task.source == "self_play" else WORLDLY
    own = RECIPES[recipe]().model_dump(exclude_unset=True)
    config = resolved(text, recipe)
    assert config.train.learning_rate == own.get("train", {}).get("learning_rate", 1e-6)
    assert config.engine.max_new_tokens == own.get("engine", {}).get("max_new_tokens", 512)
    assert resolved(text, recipe, "train.learning_rate=0.5").train.learning_rate == 0.5


def test_a_recipe_chooses_what_it_sets_even_where_it_is_the_default(resolved):
    """self_play_paper has 1e-6 and 2,048 tokens of its own."""
    config = resolved(PLAYED, "self_play_paper")
    assert chosen(config)[:3] == (1e-6, 20, 2048)


def test_the_complete_file_has_the_values_and_gives_the_same_configuration(resolved, tmp_path):
    config = resolved(WORLDLY)
    (tmp_path / "saved.toml").write_text(dump_toml(config))
    assert read_toml(tmp_path / "saved.toml")["train"]["learning_rate"] == 1e-6
    assert resolve(tmp_path / "saved.toml") == config


@pytest.mark.parametrize(
    ("end", "steps", "warm_up"),
    [
        ("steps = 300", 300, 20),
        ("steps = 60", 60, 6),
        ("steps = 9", 9, 0),
        ("rollouts = 2000", 31, 3),  # 16 x 4 rollouts a step
        ("tokens = 1000000", 30, 3),  # of 512 tokens
        ("steps = 300\nrollouts = 640", 10, 1),
    ],
)
def test_the_warm_up_is_within_the_run(end, steps, warm_up, resolved):
    config = resolved(WORLDLY.replace("steps = 300", f"groups_per_step = 16\n{end}"))
    assert (fewest_steps(config), short_warm_up(config)) == (steps, warm_up)
    assert config.optimizer.warmup_steps == warm_up


@pytest.mark.parametrize(
    ("flags", "driver", "capability", "device", "dtype"),
    [
        (set(), False, 0.0, "auto", "float32"),
        ({"avx512f", "avx512_bf16"}, False, 0.0, "auto", "bfloat16"),
        ({"bf16"}, True, 9.0, "cpu", "bfloat16"),
        ({"avx512_bf16"}, True, 7.5, "auto", "float32"),
        (set(), True, 9.0, "auto", "bfloat16"),
        (set(), True, 8.0, "cuda:1", "bfloat16"),
        (set(), True, 9.0, "cpu", "float32"),
    ],
)
def test_the_type_is_what_the_device_has_units_for(flags, driver, capability, device, dtype, resolved, monkeypatch):
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: flags)
    monkeypatch.setattr(hardware, "has_gpu_driver", lambda: driver)
    monkeypatch.setattr(hardware, "_least_capability", lambda: capability)
    assert resolved(WORLDLY, None, f"model.device={device}").model.dtype == dtype
    assert resolved(TINY, None, f"model.device={device}").model.dtype == "float32"


def test_flags_of_a_processor_are_read(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "CPU_INFO", info)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert not hardware.computes_bfloat16("cpu"), "no such file"
    info.write_text("processor : 0\nflags\t\t: fpu avx512_bf16 amx_tile\n")
    assert hardware.computes_bfloat16("cpu")
    info.write_text("processor : 0\nFeatures\t: fp asimd\n")
    assert not hardware.computes_bfloat16("cpu")


def test_a_resumed_run_keeps_the_defaults_that_it_began_with(resolved):
    """Made longer, or moved to another processor, it would have others; what the file sets is compared as always."""
    saved = {"train": {"learning_rate": 5e-4}, "optimizer": {"warmup_steps": 7}, "model": {"dtype": "bfloat16"}}
    saved["eval"] = {"prompts": 31}
    assert chosen(resolved(WORLDLY, saved=saved)) == (5e-4, 7, 512, "bfloat16", 31)
    assert resolved(WORLDLY, None, "train.learning_rate=0.1", saved=saved).train.learning_rate == 0.1


def test_other_keys_do_not_come_from_the_resumed_run(resolved):
    assert resolved(WORLDLY, saved={"train": {"group_size": 9}}).train.group_size == 4


def test_every_case_says_when_and_what():
    for path, cases in CASES.items():
        for case in cases:
            assert str(case.when), path
            assert not isinstance(case.value, Computed) or case.value.words, path


@pytest.mark.parametrize(
    ("rows", "held_out_rows", "pool_size", "prompts"),
    [
        (100, 0, None, 10),
        (5, 0, None, 1),
        (4000, 0, None, 256),
        (4000, 0, 50, 5),
        (20, 30, None, 30),
        (3, 400, None, 256),
    ],
)
def test_held_out_prompts_of_a_file(rows, held_out_rows, pool_size, prompts, resolved, tmp_path, recwarn):
    def write(name, count):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"{name} {i}", "answer": "x"}) + "\n" for i in range(count)))
        return f"'{path}'"

    text = f"[model]\npath = 'm'\n[task]\nsource = 'jsonl'\npath = {write('train', rows)}\n[train]\nsteps = 1\n"
    more = [f"task.eval_path={write('dev', held_out_rows)}"] if held_out_rows else []
    more += [f"task.pool_size={pool_size}"] if pool_size else []
    config = resolved(text, None, *more)
    tasks = load_tasks(config.task, eval_prompts=config.eval.prompts, seed=0)
    assert len(tasks.held_out) == prompts
    assert len(tasks.pool) == (pool_size or (rows if held_out_rows else rows - prompts))
    assert not recwarn.list
