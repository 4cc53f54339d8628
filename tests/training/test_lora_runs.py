"""Whole runs with a LoRA adapter and with gradient checkpointing: files, exact resume after a kill, export."""

import json

import pytest
import torch
from safetensors.torch import load_file

from dying import UPDATE, signalled
from embedded import EXAMPLE, QUICK
from rekindle import load_run
from rekindle.cli import main
from rekindle.models.policy import Policy

LORA = ("model.lora.rank=4", "train.learning_rate=5e-3")
SMALL = (*QUICK, "train.groups_per_step=6", "train.steps=3")


@pytest.fixture(autouse=True)
def _peft():
    pytest.importorskip("peft", reason="LoRA needs the package peft")


def command(out, *settings, resume=False):
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return ["train", str(EXAMPLE), "--out", str(out), *words, *(["--resume"] if resume else [])]


def weights(run):
    """All tensors of the last checkpoint's model or adapter, and of the optimizer."""
    last = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    files = [*sorted((last / "model").glob("*.safetensors")), last / "optimizer.safetensors"]
    return {f"{file.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()}


def trajectory(run):
    clocks = ("seconds", "time/")
    return [
        {key: value for key, value in line.items() if not any(clock in key for clock in clocks)}
        for line in load_run(run).metrics
    ]


@pytest.mark.parametrize(
    "settings",
    [
        LORA,
        pytest.param((*LORA, "model.gradient_checkpointing=true", "loss.kl_coefficient=0.1"), marks=pytest.mark.slow),
    ],
    ids=["lora", "lora-checkpointing-kl"],
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, settings):
    assert main(command(tmp_path / "whole", *settings)) == 0
    signalled(command(tmp_path / "killed", *settings), UPDATE, 3)
    assert main(command(tmp_path / "killed", *settings, resume=True)) == 0
    assert trajectory(tmp_path / "killed") == trajectory(tmp_path / "whole")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_run_keeps_its_adapter_alone_and_export_merges_it(tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "merged"
    assert main(command(run, *LORA)) == 0
    files = {path.name for path in (run / "model").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "rekindle_base.json"}
    info = json.loads((run / "run.json").read_text())
    # Per block: q, k, v, o of 64 by 64, gate and up of 64 by 192, down of 192 by 64, at rank 4.
    assert info["trained_parameters"] == 4 * 4 * (4 * (64 + 64) + 3 * (64 + 192))
    assert info["parameters"] > 200_000
    assert main(["export", str(run), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    merged = Policy.load(out, device="cpu")
    assert merged.adapter is None
    capsys.readouterr()
    accuracies = [evaluated(capsys, directory) for directory in (run, run / "model", out)]
    assert accuracies[0] == accuracies[1] == accuracies[2]
    assert main(["export", str(run), "--out", str(out)]) == 2
    assert "exists already; delete it" in capsys.readouterr().err


def evaluated(capsys, directory):
    """Table of greedy answers."""
    words = [word for setting in (*SMALL, *LORA) for word in ("--set", setting)]
    assert main(["eval", str(EXAMPLE), *words, "--checkpoint", str(directory), "--temperature", "0"]) == 0
    return capsys.readouterr().out


def test_gradient_checkpointing_changes_no_bit_of_a_run(tmp_path):
    assert main(command(tmp_path / "plain")) == 0
    assert main(command(tmp_path / "leaner", "model.gradient_checkpointing=true")) == 0
    assert trajectory(tmp_path / "leaner") == trajectory(tmp_path / "plain")
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "leaner")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_reference_of_a_kl_term_is_the_model_without_its_adapter(tmp_path):
    assert main(command(tmp_path, *LORA, "loss.kl_coefficient=0.1")) == 0
    kl = [line["kl"] for line in load_run(tmp_path).metrics if line.get("kl") is not None]
    assert kl[0] == pytest.approx(0.0, abs=1e-6), "a new adapter changes nothing"
    assert kl[-1] > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.lora.alpha=8.0",), "model.lora.alpha = 8.0 would not be read"),
        (("model.lora.rank=-1",), "model.lora.rank = -1: input should be greater than or equal to 0"),
        (("model.lora.rank=4", 'model.lora.targets=["qproj"]'), 'model.lora.targets names "qproj", which is no linear'),
        (("model.lora.rank=4", 'model.lora.targets=["all-linear", "q_proj"]'), "must name linear layers, or be"),
        (("model.lora.dropout=0.1",), "model.lora.dropout: unknown key"),
        (("model.load_in_4bit=true",), "no QLoRA"),
        (("model.revision=main",), 'model.revision = "main" would not be read'),
    ],
    ids=str,
)
def test_wrong_settings_get_one_sentence_and_leave_nothing(tmp_path, capsys, settings, message):
    assert main(command(tmp_path / "run", *settings)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_without_peft_the_remedy_is_its_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    assert main(command(tmp_path / "run", *LORA)) == 2
    assert "LoRA needs the package peft" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_last_model_is_linked_and_older_checkpoints_have_no_optimizer(tmp_path):
    settings = ("checkpoint.every=1", "checkpoint.keep=3")
    assert main(command(tmp_path / "last", *settings)) == 0
    assert main(command(tmp_path / "all", *settings, "checkpoint.optimizer=all")) == 0
    for run, expected in (("last", [False, True, True]), ("all", [True, True, True])):
        places = [tmp_path / run / "checkpoints" / f"step-{step}" for step in (1, 2, 3)]
        assert [(place / "optimizer.safetensors").exists() for place in places] == expected
        ours, theirs = tmp_path / run / "model" / "model.safetensors", places[-1] / "model" / "model.safetensors"
        assert ours.samefile(theirs)
    assert load_run(tmp_path / "last").model == tmp_path / "last" / "model"


def test_a_run_does_not_resume_from_weights_alone(tmp_path, capsys):
    settings = ("checkpoint.every=1",)
    assert main(command(tmp_path, *settings)) == 0
    for step in (2, 3):
        (tmp_path / "checkpoints" / f"step-{step}" / "optimizer.safetensors").unlink()
    capsys.readouterr()
    assert main(command(tmp_path, *settings, resume=True)) == 2
    error = capsys.readouterr().err
    assert "step-3: it has no state of the optimizer, which only the last two checkpoints keep" in error
    assert "begin a new run with model.path" in error
