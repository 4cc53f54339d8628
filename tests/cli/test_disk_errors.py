"""Files that cannot be written: one sentence, and how to go on with the command that was typed."""

import pytest

from embedded import EXAMPLE
from rekindle.cli import main

UNTRAINED = ["--set", "warm_start.steps=1", "--set", "warm_start.sampled_accuracy=[0, 1]"]
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (["train", str(EXAMPLE), "--out", "run", *UNTRAINED], "repeat the command with --resume"),
        pytest.param(["eval", str(EXAMPLE), *UNTRAINED], "repeat the command", marks=SLOW),
        pytest.param(["profile", str(EXAMPLE), "--out", "p.parquet", *UNTRAINED], "repeat the command", marks=SLOW),
    ],
)
def test_how_to_go_on_is_what_the_command_knows(command, remedy, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("rekindle.preflight.load_tasks", full)
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rekindle: a file could not be read or written (")
    assert last.endswith(f"; check free space and permissions, and {remedy}")


def test_a_cache_that_cannot_be_written_is_found_before_the_warm_start(tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").write_text("a file where a directory belongs")
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(EXAMPLE), "--out", "run", *UNTRAINED]) == 2
    shown = capsys.readouterr().err
    assert "cannot be written; set REKINDLE_CACHE (or XDG_CACHE_HOME)" in shown.splitlines()[-1]
    assert "making the start policy" not in shown
    assert not (tmp_path / "run").exists()
