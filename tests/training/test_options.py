"""Every option reaches the code that it names: with another value the run is another run."""

import json
import string

import pytest
import torch
from test_loop import finish, last_weights, ledger_rows, without_clocks

from rekindle.config import Config, ConfigError
from rekindle.models.tiny import build_tiny
from rekindle.recipes import resolve
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.loop import Ending

CHANGES_THE_NUMBERS = {
    "train.group_size": 3,
    "train.groups_per_step": 5,
    "train.oversample": 3,
    "train.temperature": 1.3,
    "train.gate": "everything",
    "train.estimator": "dr_grpo",
    "train.aggregation": "sequence_mean",
    "train.learning_rate": 1e-3,
    "train.warmup_steps": 2,
    "train.weight_decay": 0.5,
    "train.beta1": 0.5,
    "train.beta2": 0.9,
    "train.grad_clip": 0.01,
    "train.epochs": 2,
    "train.minibatches": 2,
    "train.kl_coefficient": 0.5,
    "engine.max_new_tokens": 3,
    "engine.top_p": 0.5,
    "engine.min_p": 0.3,
    "engine.stop": ["a"],
    "pool.alpha": 0.5,
    "pool.reset_below": 0.99,
    "refill.max_rounds": 3,
    "task.pool_size": 30,
    "task.params.seed": 3,
    "task.params.min_length": 3,
    "eval.prompts": 9,
    "eval.samples": 3,
    "eval.every": 1,
    "warm_start.steps": 120,
    "warm_start.batch_size": 32,
    "warm_start.learning_rate": 1e-3,
    "warm_start.seed": 1,
    "model.tiny.layers": 2,
    "model.tiny.hidden_size": 32,
    "model.tiny.intermediate_size": 64,
}
NEEDS_COMPANY = {
    # key: (settings of both runs, value of the second)
    "train.clip_low": (("train.epochs=3", "train.learning_rate=0.003", "train.warmup_steps=0"), 0.01),
    "train.clip_high": (("train.epochs=3", "train.learning_rate=0.003", "train.warmup_steps=0"), 0.01),
    "train.microbatch_tokens": ((), 64),
    "model.tiny.kv_heads": (("model.tiny.heads=4",), 2),
    "model.tiny.heads": (("model.tiny.kv_heads=2",), 2),
    "train.schedule": (("train.warmup_steps=0",), "cosine"),
    "train.old_logprobs": (("train.epochs=2",), "recompute"),
}
SMALL = ("train.steps=5", "task.pool_size=40", "train.groups_per_step=6", "eval.every=99", "pool.reset_below=0.1")


def run(quick_config, directory, *overrides):
    finish(quick_config("recycle", *SMALL, *overrides), directory)
    return without_clocks(directory)


@pytest.fixture(scope="module")
def plain(quick_config, tmp_path_factory):
    return run(quick_config, tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("key", CHANGES_THE_NUMBERS)
def test_an_option_changes_the_run(key, plain, quick_config, tmp_path):
    changed = run(quick_config, tmp_path / "run", f"{key}={json.dumps(CHANGES_THE_NUMBERS[key])}")
    assert changed != plain


@pytest.mark.parametrize("key", NEEDS_COMPANY)
def test_an_option_changes_the_run_beside_others(key, quick_config, tmp_path):
    company, value = NEEDS_COMPANY[key]
    before = run(quick_config, tmp_path / "before", *company)
    assert run(quick_config, tmp_path / "after", *company, f"{key}={json.dumps(value)}") != before


ELSEWHERE = {
    "recipe": "test_config",
    "model.path": "test_sources_and_models below",
    "model.dtype": "test_sources_and_models below",
    "model.device": "tests/models/test_policy",
    "model.trust_remote_code": "tests/models/test_policy",
    "model.chat_template": "test_sources_and_models below",
    "model.system_prompt": "test_sources_and_models below",
    "model.tiny.max_length": "test_the_tiny_model_must_hold_the_task below",
    "warm_start.sampled_accuracy": "test_warm_start",
    "task.source": "test_sources_and_models below",
    "task.name": "test_sources_and_models below",
    "task.path": "test_sources_and_models below",
    "task.eval_path": "tests/tasks/test_files",
    "task.params": "above, by its keys",
    "task.verifier": "tests/verifiers/test_verifier_rewards",
    "task.binary_rewards": "tests/verifiers/test_verifier_rewards",
    "task.success_threshold": "tests/verifiers/test_verifier_rewards",
    "verify.workers": "tests/verifiers/test_workers",
    "verify.timeout_seconds": "tests/verifiers/test_workers",
    "pool.kind": "test_loop, by the recipes",
    "pool.on_empty": "test_loop",
    "refill.on_exhausted": "test_loop",
    "train.steps": "test_loop",
    "train.rollouts": "test_loop",
    "train.seed": "test_the_seed below",
    "train.threads": "test_threads below",
    "train.max_barren_steps": "test_loop",
    "engine.max_rows": "tests/engines/test_torch_engine",
    "checkpoint.every": "test_checkpoints below",
    "checkpoint.keep": "test_loop",
}


def leaves(model, prefix=""):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if hasattr(kind, "model_fields"):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_no_option_is_without_a_test():
    covered = {*CHANGES_THE_NUMBERS, *NEEDS_COMPANY, *ELSEWHERE}
    assert not set(leaves(Config)) - covered


def test_threads(quick_config, tmp_path):
    before = torch.get_num_threads()
    try:
        finish(quick_config("grpo", "train.threads=2"), tmp_path / "run")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_checkpoints(quick_config, tmp_path):
    finish(quick_config("grpo", "train.steps=6", "checkpoint.every=3", "checkpoint.keep=9"), tmp_path / "run")
    assert Checkpoints(tmp_path / "run" / "checkpoints", keep=9).steps() == [3, 6]


def test_the_seed(plain, quick_config, tmp_path):
    finish(quick_config("recycle", *SMALL, seed=1), tmp_path / "run")
    other = without_clocks(tmp_path / "run")
    assert other[0]["eval/accuracy"] == plain[0]["eval/accuracy"], "the start and the held-out prompts are the same"
    assert other != plain


def test_the_tiny_model_must_hold_the_task(quick_config, tmp_path):
    with pytest.raises(ConfigError, match=r"model.tiny.max_length = 16 is too short .* at least 30"):
        quick_config("grpo", "model.tiny.max_length=16", "task.params.max_length=14")
    finish(quick_config("grpo", "model.tiny.max_length=16"), tmp_path / "run")


def test_kl_is_logged_and_its_reference_is_counted(quick_config, tmp_path):
    lines = run(quick_config, tmp_path / "run", "train.kl_coefficient=0.1")
    trained = [line for line in lines if line["loss"] is not None]
    assert trained[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert trained[-1]["kl"] > 0
    assert all(line["recomputed_tokens"] > 0 for line in trained)


# -- sources and models -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ascii_model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "ascii"
    build_tiny(
        layers=1, hidden_size=32, heads=2, kv_heads=2, intermediate_size=32, max_length=700, characters=string.printable
    ).save(directory)
    return directory


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def source(kind, directory):
    if kind == "jsonl":
        rows = [{"prompt": f"Say {i}!", "answer": str(i)} for i in range(30)]
        return {"task.path": write_jsonl(directory / "data.jsonl", rows)}
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")

        rows = [{"prompt": f"Say {i}!", "answer": [str(i), f"{i}."]} for i in range(30)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), directory / "data.parquet")
        return {"task.path": directory / "data.parquet"}
    if kind == "gsm8k":
        pytest.importorskip("math_verify")
        rows = [{"question": f"What is {i} plus {i}?", "answer": f"Twice.\n#### {2 * i:,}"} for i in range(30)]
        return {"task.path": write_jsonl(directory / "data.jsonl", rows)}
    pytest.importorskip("reasoning_gym")
    return {"task.name": "spell_backward", "task.pool_size": 20}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "gsm8k", "reasoning_gym"])
def test_sources_and_models(kind, ascii_model, tmp_path):
    """Real loading, prompting, sampling, judging and training of every source, on a model that knows nothing."""
    settings = {
        "model.path": ascii_model,
        "model.dtype": "bfloat16",
        "task.source": kind,
        "train.steps": 2,
        "train.groups_per_step": 4,
        "train.group_size": 2,
        "engine.max_new_tokens": 8,
        "eval.prompts": 6,
        **source(kind, tmp_path),
    }
    path = tmp_path / "run.toml"
    path.write_text("")
    config = resolve(
        path, "reinforce_pp", [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]
    )
    ending, loop = finish(config, tmp_path / "run")
    assert ending is Ending.DONE
    assert loop.version == 2
    assert sum(row["n"] for row in ledger_rows(tmp_path / "run")) == 16
    assert all(torch.isfinite(weight).all() for weight in last_weights(tmp_path / "run").values())
    assert next(iter(last_weights(tmp_path / "run").values())).dtype == torch.bfloat16


def test_chat_template_and_system_prompt_reach_the_prompt(ascii_model, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ascii_model)
    tokenizer.chat_template = "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}>"
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((ascii_model / name).read_bytes())
    tokenizer.save_pretrained(tmp_path)
    data = write_jsonl(tmp_path / "data.jsonl", [{"prompt": f"{i}?", "answer": "a"} for i in range(9)])
    toml = tmp_path / "run.toml"
    toml.write_text(
        f"[model]\npath = '{tmp_path}'\nsystem_prompt = 'Be brief.'\n[task]\nsource = 'jsonl'\npath = '{data}'\n"
        "[train]\nsteps = 1\ngroups_per_step = 1\n[eval]\nprompts = 2\n[engine]\nmax_new_tokens = 2\n"
    )
    from rekindle.assembly import workbench

    texts = {}
    for name, overrides in {"chat": [], "plain": ["model.chat_template=false"]}.items():
        without_system = resolve(toml, "grpo", overrides)
        if name == "plain":
            table = without_system.model.model_copy(update={"system_prompt": None})
            without_system = without_system.model_copy(update={"model": table})
        with workbench(without_system, say=print) as bench:
            world = bench.environment(bench.tasks.pool)
            texts[name] = bench.policy.decode(world._encode(bench.tasks.pool[0].prompt))
    question = bench.tasks.pool[0].prompt
    assert texts == {"chat": f"[system]Be brief.[user]{question}>", "plain": question}
