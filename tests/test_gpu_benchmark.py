"""benchmarks/gpu: its counts by hand, its claims' configurations, and both parts for real in miniature on the CPU."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from docs_pages import ROOT
from rekindle.models.policy import Policy
from rekindle.preflight import task_set
from rekindle.recipes import resolve
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

sys.path.insert(0, str(ROOT / "benchmarks"))

from claims.command import CLAIMS
from gpu import command
from gpu.bounds import products
from gpu.larger import LARGER, TASK
from gpu.models import DRY_SHAPE, SHAPE, random_policy
from gpu.speed import Workload, decode_bytes, differences, generated, samples_of, update_operations
from rekindle.engines.torch_engine import TorchEngine

WORK = Workload(
    prompts=2, prompt_tokens=3, group_size=2, new_tokens=5, rows=4, microbatch_tokens=64, steps=1
)  # 2 prompts of 3 tokens, 4 rollouts of 5
RUNS = [
    pytest.param(run, id=f"{name}-{run.arm}")
    for name, claim in LARGER.items()
    for setting_name, setting in claim.settings.items()
    for run in setting.runs(setting_name, 1)
]


def test_products_are_the_weights_of_all_matrices():
    for shape in (SHAPE, DRY_SHAPE):
        weights = sum(inner * outer * count for (inner, outer), count in products(shape).items())
        biases_and_norms = shape.layers * (shape.attention_size + 2 * shape.hidden_size) + shape.hidden_size
        assert weights + biases_and_norms == shape.parameters, "the tied embedding is the head"


def test_operations_and_bytes_by_hand():
    # Two layers of q 32 x 32, k and v 32 x 16, o 32 x 32, gate and up 32 x 48, down 48 x 32, 2 x 7,680 in all, and a
    # head of 19 x 32 = 608.
    assert DRY_SHAPE.vocabulary == 19
    assert update_operations(DRY_SHAPE, WORK) == 6 * (15_360 * (20 + 6) + 608 * 20)
    # Four steps after the first token read 15,360 + 608 weights, 2 x 64 biases, 5 x 32 norms, and 4 rollouts of 4 to 7
    # tokens with 2 layers x 2 x 2 heads x 8 values each, 4 bytes a number.
    assert decode_bytes(DRY_SHAPE, WORK, 4) == 4 * (4 * (15_360 + 608 + 128 + 160) + 4 * (4 + 5 + 6 + 7) * 64)
    halves = replace(WORK, rows=2)
    assert decode_bytes(DRY_SHAPE, halves, 4) - decode_bytes(DRY_SHAPE, WORK, 4) == 4 * 4 * 16_256


def test_a_policy_has_the_shape_it_is_given():
    assert random_policy(DRY_SHAPE, device="cpu", dtype="float32").parameter_count == DRY_SHAPE.parameters


def test_agreement_is_the_gap_of_engine_and_trainer():
    policy = random_policy(DRY_SHAPE, device="cpu", dtype="float32")
    policy.eos_ids = frozenset()
    prompts = [[1, 2, 3], [4, 5, 6]]
    samples = samples_of(prompts, generated(TorchEngine(policy), prompts, 2, 5, 0), 0)
    gaps = differences(policy, samples)
    assert len(gaps) == 20
    assert gaps.abs().max() < 1e-5
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[:] *= 1.5
    assert differences(policy, samples).abs().max() > 1e-4


def test_speed_in_miniature(tmp_path, capsys):
    out = tmp_path / "new" / "gpu.json"
    assert command.main(["speed", "--dry-run", "--out", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {"date", "revision", "machine"} <= found.keys()
    assert (found["gpu"], found["dry_run"]) == (None, True)
    speed = found["speed"]
    assert speed["weights"] == DRY_SHAPE.parameters
    assert speed["matrix_peak"] > 0
    assert speed["copy_bandwidth"] > 0
    for part, key in command.TARGETS:
        assert speed[part][key] > 0
    assert speed["agreement"]["largest"] < 1e-4
    assert "(target 40%)" in capsys.readouterr().out


def test_every_claim_with_a_pretrained_model_has_a_larger_one():
    assert set(CLAIMS) - set(LARGER) == {"self_play"}
    for name, claim in LARGER.items():
        [(setting_name, setting)] = claim.settings.items()
        assert setting.task == TASK
        assert list(setting.arms) == list(CLAIMS[name].settings[setting_name].arms)
        assert claim.findings
        assert {finding.setting for finding in claim.findings} == {setting_name}


@pytest.mark.parametrize("run", RUNS)
def test_every_larger_run_is_a_configuration(run):
    words = list(run.arguments)
    config = resolve(ROOT / words[0], words[2], [words[at + 1] for at, word in enumerate(words) if word == "--set"], 0)
    small = resolve(ROOT / "benchmarks" / "claims" / "smollm2.toml", words[2], [], 0)
    assert config.train.rollouts is not None
    assert small.train.rollouts is not None
    assert config.train.rollouts > small.train.rollouts
    assert config.model.path == "Qwen/Qwen2.5-1.5B"


def test_the_larger_task_has_prompts_enough():
    config = resolve(ROOT / TASK)
    tasks = task_set(config, lambda _: None)
    assert len(tasks.pool) == config.task.pool_size
    assert len(tasks.held_out) == config.eval.prompts


@pytest.mark.slow
def test_a_claim_in_miniature(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    options = ["claims", "--dry-run", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    assert command.main(options) == 0
    first = json.loads(out.read_text(encoding="utf-8"))["claims"]["recycling"]
    ((_, by_arm),) = first["settings"].items()
    assert list(by_arm) == ["GRPO", "Bounded DAPO"]
    assert all(runs["0"]["steps"] == 4 for runs in by_arm.values())
    assert "rekindle train benchmarks/gpu/arithmetic.toml --recipe grpo --seed 0" in capsys.readouterr().out
    assert command.main(options) == 0, "finished runs are kept"
    assert json.loads(out.read_text(encoding="utf-8"))["claims"]["recycling"] == first


@pytest.mark.parametrize(
    ("words", "said"),
    [(["speeed"], "unknown parts: speeed; there are speed, claims"), (["--claims", "x"], "unknown claims: x")],
)
def test_unknown_names_are_refused(words, said, capsys):
    with pytest.raises(SystemExit) as refused:
        command.main(words)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_a_model_of_another_kind_is_refused(tmp_path, capsys):
    config = MistralConfig(
        vocab_size=23, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=None, eos_token_id=21, pad_token_id=20, max_position_embeddings=48,
    )  # fmt: skip
    policy = Policy(MistralForCausalLM(config), character_tokenizer("abcdefghijklmnopqrst", 48))
    policy.save(tmp_path / "model")
    words = ["speed", "--device", "cpu", "--dtype", "float32", "--model", str(tmp_path / "model")]
    assert command.main(words) == 2
    assert "is a mistral, whose operations are not counted; give one of qwen2" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_remedy_is_said(capsys):
    assert command.main(["speed"]) == 2
    assert "in miniature with --dry-run" in capsys.readouterr().err
