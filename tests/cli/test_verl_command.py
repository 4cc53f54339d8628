"""`rekindle verl` where verl is not installed."""

from importlib.util import find_spec

import pytest

import rekindle.integrations.verl.settings.command as module
from rekindle.cli import main


def without(*packages):
    return lambda name: None if name in packages else find_spec(name)


@pytest.mark.parametrize("missing", [["hydra"], ["verl", "hydra"]])
def test_what_is_missing_is_one_sentence_and_code_2(missing, monkeypatch, capsys):
    monkeypatch.setattr(module, "find_spec", without(*missing))
    assert main(["verl", "--recipe", "recycle", "--", "data.train_batch_size=64"]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == ['rekindle: hydra is not installed; run: pip install "rekindle[verl]"']
    assert said.out == ""


@pytest.mark.parametrize("words", [["--recipe", "erppo"], ["--", "+rekindle.recipe=erppo"]])
def test_a_wrong_recipe_is_told_before_what_is_missing(words, monkeypatch, capsys):
    monkeypatch.setattr(module, "find_spec", without("verl", "hydra"))
    assert main(["verl", *words]) == 2
    said = capsys.readouterr().err
    assert "recipe 'erppo' is unknown; did you mean erpo?" in said
    assert "rekindle: rekindle" not in said


def test_the_help_says_where_overrides_go(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verl", "--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rekindle verl --recipe recycle -- data.train_files=" in said
    assert "after --: what you would give python -m verl.trainer.main_ppo" in said
