"""The configuration that the options of a command name."""

from argparse import Namespace

import pytest

from rekindle.cli.options import resolved
from rekindle.config import ConfigError, dump_toml

TEXT = "[model]\npath = 'm'\n[task]\nsource = 'jsonl'\npath = 't.jsonl'\n[train]\nsteps = 60\n"


@pytest.fixture
def options(tmp_path):
    (tmp_path / "run.toml").write_text(TEXT)
    return lambda *overrides: Namespace(config=tmp_path / "run.toml", recipe=None, overrides=overrides, seed=None)


def test_a_run_made_longer_keeps_the_defaults_that_it_began_with(options, tmp_path):
    """A tenth of the steps is another number now, and the run began with 6."""
    begun = tmp_path / "run"
    begun.mkdir()
    (begun / "config.toml").write_text(dump_toml(resolved(options())))
    longer = options("train.steps=150")
    assert resolved(longer).optimizer.warmup_steps == 15
    assert resolved(longer, begun=begun).optimizer.warmup_steps == 6
    assert resolved(options("optimizer.warmup_steps=9"), begun=begun).optimizer.warmup_steps == 9


def test_without_a_run_there_is_nothing_to_keep(options, tmp_path):
    assert resolved(options(), begun=tmp_path / "nothing") == resolved(options())


@pytest.mark.parametrize("broken", ["not TOML", "[train]\nlearning_rate = 'fast'\n", "train = 3\n"])
def test_a_broken_configuration_of_the_run_is_one_sentence(options, tmp_path, broken):
    begun = tmp_path / "run"
    begun.mkdir()
    (begun / "config.toml").write_text(broken)
    with pytest.raises(ConfigError, match=r"^\S*config.toml[^\n]*$"):
        resolved(options(), begun=begun)
