"""The command as a user types it."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dying import UPDATE, signalled
from embedded import EXAMPLE, QUICK
from rekindle.cli import main
from rekindle.learning.losses import LOSSES
from rekindle.observability.metrics import read_metrics
from rekindle.recipes import RECIPES

SETTINGS = [part for key in QUICK for part in ("--set", key)]


def train(out, *more, recipe="recycle"):
    return main(["train", str(EXAMPLE), "--recipe", recipe, "--out", str(out), *SETTINGS, *more])


def assert_what_comes_next(run, output, capsys):
    """The end of a run says what it reached, sampled and greedy, where the model is, and two commands that work."""
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == [
        "finished", "accuracy", "greedy", "model", "run", "metrics", "report", "next", "rekindle", "rekindle"
    ]  # fmt: skip
    assert lines[3] == f"  model          {run / 'model'}"
    assert lines[2].endswith(" on held-out prompts (mean of the last 2 evaluations)")
    for line in lines[-2:]:
        _, *command = shlex.split(line)
        shorter = ["--max-new-tokens", "1"] if command[0] == "eval" else []
        assert main([*command, *shorter]) == 0
    assert (run.with_name("a run-model") / "config.json").exists()
    assert "pass@8" in capsys.readouterr().out


def test_train_eval_report_and_resume(tmp_path, capsys):
    run = tmp_path / "a run"
    assert train(run) == 0
    output = capsys.readouterr()
    assert_what_comes_next(run, output.out, capsys)
    for name in ("metrics.jsonl", "report.html"):
        assert str(run / name) in output.out
        assert (run / name).exists()
    assert "on held-out prompts (mean of the last 2 evaluations)" in output.out
    assert "step 4: " in output.err
    assert " groups taught" in output.err
    shares = json.loads((run / "null_control.json").read_text())
    names = {"recycled_share", "rescued_easy_share", "all_correct_share"}
    assert set(shares) <= names | {"frozen_share", "frozen_rescued_easy_share", "frozen_all_correct_share"}
    assert 0 <= shares["frozen_all_correct_share"] <= 1

    assert train(run, "--resume") == 0
    assert "finished step 4" in capsys.readouterr().out
    assert len(read_metrics(run / "metrics.jsonl")) == 5

    results = tmp_path / "results.json"
    command = ["eval", str(EXAMPLE), *SETTINGS, "--samples", "4", "--k", "1,4", "--json", str(results)]
    for checkpoint in (run, run / "checkpoints" / "step-4", run / "checkpoints" / "step-4" / "model"):
        assert main([*command, "--checkpoint", str(checkpoint)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines if line.startswith("pass@")] == ["pass@1", "pass@4"]
        values = json.loads(results.read_text())
        assert values["pass_at"]["1"] <= values["pass_at"]["4"]
        assert len(values["prompts"]) == 16
        assert all(len(prompt["answers"]) == 4 for prompt in values["prompts"])

    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text().startswith("<!")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.toml"], "nowhere.toml does not exist"),
        (["train", str(EXAMPLE), "--recipe", "recycel"], "did you mean recycle?"),
        (["train", str(EXAMPLE), "--set", "train.group_size=0"], "train.group_size = 0"),
        (["train", str(EXAMPLE), "--set", "train.group_sise=4"], "did you mean train.group_size?"),
        (["train", str(EXAMPLE), "--set", "train.steps"], "expected key.sub=value"),
        (["train", str(EXAMPLE), "--set", "task.params.colour=1"], "task.params has no 'colour'"),
        (["train", str(EXAMPLE), "--set", "model.path=missing-model"], "missing-model"),
        (["eval", str(EXAMPLE), "--samples", "4", "--k", "8"], "every k must be between 1 and the number of samples"),
        (["eval", str(EXAMPLE), "--k", "x"], "expected numbers separated by commas"),
        (["eval", str(EXAMPLE), "--temperature", "-1"], "must be a number of at least 0"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert len(output.err.strip().splitlines()) == 1
    assert "Traceback" not in output.err
    assert not list(tmp_path.iterdir()), "a run that cannot start leaves nothing behind"


def test_malformed_lines_are_named_by_their_number(capsys, tmp_path):
    directory = tmp_path / "model"
    _save_tiny(directory)
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "a>", "answer": "a"}\n{"prompt": "b>", "answer"\n')
    config = tmp_path / "run.toml"
    config.write_text(
        f"[model]\npath = '{directory}'\n[task]\nsource = 'jsonl'\npath = '{data}'\n"
        "[train]\nsteps = 1\n[eval]\nprompts = 1\n"
    )
    assert main(["train", str(config), "--out", str(tmp_path / "run")]) == 2
    assert f"{data}:2" in capsys.readouterr().err
    assert main(["train", str(config), "--set", "task.path=no.jsonl", "--out", str(tmp_path / "other")]) == 2
    assert "no.jsonl" in capsys.readouterr().err


def test_a_model_directory_without_tokenizer(capsys, tmp_path):
    directory = tmp_path / "model"
    _save_tiny(directory)
    for path in directory.glob("*token*"):
        path.unlink()
    assert main(["train", str(EXAMPLE), "--set", f"model.path={directory}", "--out", str(tmp_path / "run")]) == 2
    output = capsys.readouterr().err
    assert "tokenizer" in output
    assert str(directory) in output
    assert "Traceback" not in output


def _save_tiny(directory: Path):
    from rekindle.warm_starts.tiny_model import build_tiny

    build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2, intermediate_size=16).save(directory)


def test_usage_errors_exit_with_2(capsys):
    for arguments in ([], ["trian"], ["train"], ["train", "x.toml", "--seed", "one"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "usage: rekindle" in capsys.readouterr().err


def test_recipes_lists_every_recipe_with_a_sentence(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(len(line) > 40 for line in lines)


def test_doctor_finds_a_working_installation(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for name in ("python", "torch", "device", "matmul", "cache", "sqlite", "verifiers", "retrieval"):
        assert name in out


def test_doctor_says_what_is_wrong(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path / "file"))
    assert main(["doctor"]) == 2
    assert "FAIL  cache" in capsys.readouterr().out


def test_exit_code_3_at_a_declared_bound(tmp_path, capsys):
    assert train(tmp_path / "run", "--set", "train.rollouts=70", recipe="grpo") == 3
    output = capsys.readouterr()
    assert "stopped: train.rollouts = 70 were spent at step 3 of 4" in output.err
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_steps_whose_loss_is_nan_end_the_run_and_the_checkpoints_stay(tmp_path, capsys, monkeypatch):
    import rekindle.training.trainer as trainer

    clip, calls = LOSSES["ppo_clip"].load(), []

    def poisoned(*arguments):
        calls.append(arguments)
        losses, clipped = clip(*arguments)
        return losses * (float("nan") if len(calls) >= 3 else 1.0), clipped

    monkeypatch.setattr(trainer, "LOSSES", {"ppo_clip": SimpleNamespace(load=lambda: poisoned)})
    assert train(tmp_path / "run", "--set", "optimizer.max_skipped_steps=1") == 3
    output = capsys.readouterr().err
    assert "the loss is nan" in output
    assert "(optimizer.max_skipped_steps); the last checkpoint has the last good weights" in output
    assert "Traceback" not in output
    assert (tmp_path / "run" / "checkpoints" / "step-2" / "state.json").exists()
    assert train(tmp_path / "run", "--resume") == 0


@pytest.mark.slow
def test_a_disk_that_is_full_for_the_ledger_is_one_sentence(tmp_path):
    """A real limit on file sizes, too small for the ledger's first rows."""
    program = (
        "import resource, sys, rekindle.cli as cli, rekindle.scheduling.ledger as ledger\n"
        "write = ledger.Ledger.write\n"
        "def limited(self, records, *rest):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "    write(self, records, *rest)\n"
        "ledger.Ledger.write = limited\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    arguments = ["train", str(EXAMPLE), "--recipe", "recycle", "--out", str(tmp_path / "run"), *SETTINGS]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "a file could not be read or written" in done.stderr
    assert "Traceback" not in done.stderr
    assert train(tmp_path / "run", "--resume") == 0


def test_a_policy_with_damaged_weights_is_refused(tmp_path, capsys):
    import torch

    from rekindle.warm_starts.tiny_model import build_tiny

    policy = build_tiny()
    with torch.no_grad():
        policy.model.lm_head.weight[3] = float("nan")
    policy.save(tmp_path / "model")
    arguments = ["train", str(EXAMPLE), "--set", f"model.path={tmp_path / 'model'}", "--out", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "are not finite (model.embed_tokens.weight); use an earlier checkpoint" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_writes_a_checkpoint_and_exits_with_130(tmp_path, number):
    run = tmp_path / "run"
    command = ["train", str(EXAMPLE), "--recipe", "recycle", "--out", str(run)]
    command += [*SETTINGS, "--set", "train.steps=2000", "--set", "checkpoint.every=1000"]
    done = signalled(command, UPDATE, 3, number)
    assert done.returncode == 130, done.stderr
    assert "repeat the command with --resume" in done.stdout
    last = read_metrics(run / "metrics.jsonl")[-1]["step"]
    assert last == 3, "the step in which it came is finished"
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{last}"]
