"""Commands of the pages: those of ``rekindle`` through its parser and its configuration, others against their files."""

import argparse
import re
import string
import tomllib
from argparse import Namespace

import pytest

from docs_pages import PAGES, ROOT, commands, inline_commands, name_of
from rekindle.cli import _parser, main
from rekindle.recipes import resolve
from rekindle.warm_starts.tiny_model import build_tiny

PLACEHOLDERS = {"NAME": "grpo", "N": "0"}
ANY_CONFIGURATION = """
[model]
path = "models/policy"

[task]
source = "jsonl"
path = "rows.jsonl"

[train]
steps = 100
"""
MAKEFILE = (ROOT / "Makefile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def parsed(words):
    """The options of a command of ``rekindle``."""
    try:
        return _parser().parse_args([PLACEHOLDERS.get(word, word) for word in words])
    except SystemExit as refused:
        raise AssertionError(f"refused by the parser: rekindle {' '.join(words)}") from refused


def check_rekindle(words, folder):
    options = parsed(words)
    configuration = getattr(options, "config", None)
    if configuration is not None:
        path = ROOT / configuration
        if not path.exists():
            path = folder / "any.toml"
            path.write_text(ANY_CONFIGURATION)
        assert resolve(path, getattr(options, "recipe", None), getattr(options, "set", None) or [])


def check_make(words, _):
    targets = [word for word in words if "=" not in word]
    assert targets
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), f"make {target}"


def check_script(words, _):
    place = ROOT / words[0]
    script = "".join(file.read_text() for file in (sorted(place.glob("*.py")) if place.is_dir() else [place]))
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in script, f"{words[0]} has no {option}"


def check_pip(words, _):
    for extra in re.findall(r"rekindle\[(\w+)\]", " ".join(words)):
        assert extra in EXTRAS


def check_files(words, _):
    files = [word for word in words if re.search(r"^[\w/]+\.(sh|py)$", word)]
    assert files
    assert all((ROOT / file).is_file() for file in files)


def check_tool(words, _):
    """A program that comes with an extra of ours: nothing of ours is in its arguments."""
    assert words


CHECKS = {
    "rekindle": check_rekindle,
    "make": check_make,
    "python": check_script,
    "pip": check_pip,
    "bash": check_files,
    "sbatch": check_files,
    "accelerate": check_files,
    "tensorboard": check_tool,
    "pre-commit": check_tool,
}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_accepted(page, tmp_path):
    for program, *words in commands(page):
        CHECKS[program](words, tmp_path)


def subcommands():
    (found,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    return found.choices


def option_strings(parser):
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_have_their_options(page):
    choices = subcommands()
    for command, *words in inline_commands(page):
        assert command in choices, f"rekindle {command}"
        ours = words[: words.index("--")] if "--" in words else words
        for option in (word for word in ours if word.startswith("--")):
            assert option.partition("=")[0] in option_strings(choices[command]), f"rekindle {command} {option}"


def test_every_command_is_on_a_page():
    choices = subcommands()
    named = {words[0] for page in PAGES for words in inline_commands(page)}
    named |= {words[1] for page in PAGES for words in commands(page) if words[0] == "rekindle"}
    assert set(choices) <= named


# -- for real ---------------------------------------------------------------------------------------------------------

QUICK = ("train.steps=1", "train.groups_per_step=4", "engine.max_new_tokens=4", "eval.prompts=4")


def test_the_first_run_of_the_how_to_runs(tmp_path, monkeypatch, capsys):
    """Every command of the page in its order, with a tiny model in the place of the real one."""
    monkeypatch.chdir(tmp_path)
    build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, max_length=96, characters=string.printable
    ).save(tmp_path / "models" / "SmolLM2-135M-Instruct")  # fmt: skip
    rows = (f'{{"prompt": "What is {number} + 1?", "answer": "{number + 1}"}}\n' for number in range(40))
    (tmp_path / "questions.jsonl").write_text("".join(rows))
    played = []
    for _, command, *words in commands(ROOT / "docs" / "howto" / "first_run.md"):
        faster = [part for key in QUICK for part in ("--set", key)] if command in {"try", "train"} else []
        faster += ["--measure", "4"] if command == "try" else []
        assert main([command, *words, *faster]) == 0, command
        played.append(command)
    assert played == ["init", "try", "train", "train"]
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()
    assert main(["report", "runs/mine"]) == main(["export", "runs/mine", "--out", "models/mine"]) == 0
    assert main(["recipes"]) == 0
    assert "recycle " in capsys.readouterr().out


def test_parsed_options_are_those_of_the_command():
    assert isinstance(parsed(["train", "CONFIG.toml", "--recipe", "NAME", "--seed", "N"]), Namespace)
    with pytest.raises(AssertionError, match="refused by the parser: rekindle train"):
        parsed(["train", "CONFIG.toml", "--reciep", "grpo"])
