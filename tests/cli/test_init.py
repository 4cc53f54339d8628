"""A first configuration."""

import json
import shlex
from pathlib import Path

import pytest

from rekindle.cli import main
from rekindle.recipes import resolve
from rekindle.warm_starts.tiny_model import build_tiny


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path):
    build_tiny(layers=1, hidden_size=16, max_length=64).save(tmp_path / "a model")
    return "a model"


def rows(name="rows.jsonl", count=20):
    lines = (json.dumps({"prompt": f"What is {n} + 1?", "answer": str(n + 1)}) for n in range(count))
    Path(name).write_text("\n".join(lines))
    return name


def test_without_options_it_is_the_embedded_task(tmp_path, capsys):
    assert main(["init"]) == 0
    text = (tmp_path / "my.toml").read_text()
    assert resolve(tmp_path / "my.toml").task.source == "spell_backward"
    assert len(text.splitlines()) <= 16
    assert capsys.readouterr().out.endswith("next           rekindle try my.toml\n")


def test_with_a_model_and_tasks(tmp_path, model, capsys):
    assert main(["init", "--model", model, "--task", rows(), "--out", "other name.toml"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("other name.toml: 18 prompts to train on, 2 to evaluate on")
    config = resolve(tmp_path / "other name.toml")
    assert (config.model.path, config.task.path, config.train.learning_rate) == (model, "rows.jsonl", 1e-6)
    command = shlex.split(output.splitlines()[-1].removeprefix("  next"))
    assert command == ["rekindle", "try", "other name.toml"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.json", '[{"prompt": "a", "answer": "x"}, {"prompt": "b", "answer": "y"}]'),
        ("rows.csv", "prompt,answer\na,x\nb,y\n"),
        ("ROWS.TSV", "prompt\tanswer\na\tx\nb\ty\n"),
    ],
)
def test_the_source_is_that_of_the_file(name, content, tmp_path, model, capsys):
    (tmp_path / name).write_text(content)
    assert main(["init", "--model", model, "--task", name]) == 0
    assert resolve(tmp_path / "my.toml").task.path == name
    assert capsys.readouterr().out.startswith("my.toml: 1 prompts to train on, 1 to evaluate on")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "rows.jsonl"], "--task needs --model"),
        (["--model", "a model", "--task", "none.jsonl"], "none.jsonl"),
        (["--model", "a model", "--task", "rows.xlsx"], "has none of the suffixes"),
        (["--model", "nowhere", "--task", "rows.jsonl"], "nowhere"),
        (["--out", "no/where/my.toml"], "there is no directory no/where"),
        (["--out", "taken.toml"], "taken.toml exists already"),
        (["--model", 'quo"ted', "--task", "rows.jsonl"], 'quo"ted'),
    ],
)
def test_wrong_input_is_one_sentence_and_nothing_is_written(options, words, tmp_path, model, capsys):
    rows()
    (tmp_path / "taken.toml").write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["init", *options]) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "taken.toml").read_text() == "mine"
