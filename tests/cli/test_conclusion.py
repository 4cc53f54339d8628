"""The last lines of a training command."""

import json
import shlex

import pytest

from rekindle.cli.conclusion import conclude, next_commands
from rekindle.observability.runs import load_run
from rekindle.records.run_directory import note_ending


def made_run(directory, evaluations, ending="done", why=""):
    """A run directory with an evaluation at each step."""
    directory.mkdir()
    (directory / "config.toml").write_text("")
    lines = [
        {"step": step, "eval/accuracy": accuracy, "eval/greedy": accuracy + 0.1, "total_rollouts": 0}
        for step, accuracy in enumerate(evaluations)
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    note_ending(directory, ending, why)
    return directory


@pytest.mark.parametrize("name", ["run", "a run", "it's $HOME; `x`", "-rf", "a\nb"])
def test_the_next_commands_are_read_back_as_they_are_meant(name, tmp_path):
    run = tmp_path / name
    evaluate, export = map(shlex.split, next_commands(run))
    assert evaluate == [
        "rekindle",
        "eval",
        f"{run}/config.toml",
        "--checkpoint",
        str(run),
        "--samples",
        "8",
        "--k",
        "1,8",
    ]
    assert export == ["rekindle", "export", str(run), "--out", f"{run}-model"]


def test_the_export_goes_where_nothing_is_yet(tmp_path):
    for taken in ("run-model", "run-model-2"):
        (tmp_path / taken).mkdir()
    assert shlex.split(next_commands(tmp_path / "run")[1])[-1] == f"{tmp_path}/run-model-3"


@pytest.mark.parametrize(
    ("ending", "adapter", "words"),
    [
        ("done", True, "model (LoRA adapter)"),
        ("bound", False, "rekindle export"),
        ("interrupted", False, "to continue, repeat the command with --resume"),
    ],
)
def test_what_is_said_at_the_end(ending, adapter, words, tmp_path, capsys):
    run = made_run(tmp_path / "run", [0.2, 0.5], ending, "nothing is left to train on" if ending == "bound" else "")
    (run / "model").mkdir()
    if adapter:
        (run / "model" / "adapter_config.json").write_text("{}")
    conclude(load_run(run))
    output = capsys.readouterr()
    assert words in output.out
    assert "  accuracy       0.20 -> 0.50 on held-out prompts\n  greedy         0.30 -> 0.60 on held-out" in output.out
    assert ("rekindle eval" in output.out) == (ending != "interrupted")
    assert ("stopped: nothing is left to train on" in output.err) == (ending == "bound")


def test_a_run_that_was_not_evaluated_again(tmp_path, capsys):
    run = made_run(tmp_path / "run", [0.2], "bound")
    conclude(load_run(run))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  accuracy       not evaluated since the start"
    assert not [line for line in lines if line.split()[0] in {"greedy", "model"}]
