"""The first screens of the README: an own reward in at most 10 lines of Python, or 12 of TOML."""

import json
import re
import string
from pathlib import Path

import pytest

from rekindle.cli import main
from rekindle.observability.runs import load_run
from rekindle.warm_starts.tiny_model import build_tiny

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language, mark):
    """The first block of a language that has a mark in it, with its lines that are not blank."""
    found = next(one for one in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if mark in one)
    return found, [line for line in found.splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, max_length=96, characters=string.printable
    ).save(tmp_path / "models" / "SmolLM2-135M-Instruct")  # fmt: skip


def test_ten_lines_of_python(tmp_path, capsys):
    code, lines = block("python", "reward=score")
    assert len(lines) <= 10
    names: dict[str, object] = {}
    exec(compile(code.replace('"steps": 60', '"steps": 1, "groups_per_step": 4'), "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("done ")
    run = load_run(tmp_path / "runs" / "sums")
    assert "reward/score" in run.metrics[-1]
    assert (run.directory / "report.html").is_file()
    exec(compile(code.replace('"steps": 60', '"steps": 2, "groups_per_step": 4'), "README.md", "exec"), names)
    assert load_run(run.directory).metrics[-1]["step"] == 2, "it goes on where it ended"


def test_twelve_lines_of_toml(tmp_path):
    text, lines = block("toml", "[[rewards]]")
    assert len(lines) <= 12
    (tmp_path / "my.toml").write_text(text)
    rows = ({"prompt": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(40))
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "my_reward.py").write_text(
        "def score(completions, answer, **columns):\n    return [float(len(text)) for text in completions]\n"
    )
    quick = ["train.steps=1", "train.groups_per_step=4", "engine.max_new_tokens=8", "eval.prompts=4"]
    options = [part for setting in quick for part in ("--set", setting)]
    assert main(["train", "my.toml", "--out", "run", *options]) == 0
    assert load_run(tmp_path / "run").metrics[-1]["reward/score"] > 0
