"""`rekindle compare` from the command line."""

import pytest

from rekindle.cli import main
from synthetic_arms import write_arm_run, write_sweep


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "sweep", {"grpo": 0.4, "recycle": 0.5}, noise=0.01)


def test_without_a_file_it_is_a_table(sweep, capsys):
    assert main(["compare", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("At 2k rollouts, the accuracy of recycle (+0.")
    assert "arm      seeds  accuracy" in out
    assert "recycle  3      0." in out


def test_several_files_are_written(sweep, tmp_path, capsys):
    files = [tmp_path / f"c.{ending}" for ending in ("html", "md", "csv", "tex", "svg")]
    assert main(["compare", str(sweep), *(part for file in files for part in ("--out", str(file)))]) == 0
    assert all(file.stat().st_size > 1000 for file in files)
    assert capsys.readouterr().out.splitlines()[-5:] == list(map(str, files))


def test_baseline_target_and_cost_are_chosen(sweep, tmp_path, capsys):
    chosen = ["--baseline", "recycle", "--target", "0.5", "--x", "tokens", "--out", str(tmp_path / "c.md")]
    assert main(["compare", str(sweep), *chosen]) == 0
    assert "At 20k generated tokens, the accuracy of grpo (-0." in capsys.readouterr().out
    text = (tmp_path / "c.md").read_text()
    assert "# grpo against recycle" in text
    assert "## Cost of accuracy 0.5" in text


def test_the_directory_of_a_run_inside_trl_is_accepted(tmp_path, capsys):
    for seed in range(2):
        write_arm_run(tmp_path / "ours" / str(seed), seed=seed)
        write_arm_run(
            tmp_path / "trl" / str(seed) / "rekindle", seed=seed, info={"trainer": "trl 1.16.0"}, held_out=None
        )
        write_arm_run(
            tmp_path / "verl" / str(seed) / "checkpoints" / "rekindle", seed=seed, info={"trainer": "verl 0.9.1"}
        )
    assert main(["compare", *(str(tmp_path / one) for one in ("ours", "trl", "verl"))]) == 0
    out = capsys.readouterr().out
    for arm in ("grpo in rekindle", "grpo in trl", "grpo in verl"):
        assert arm in out
    assert "do not list their held-out prompts" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--x", "steps"], "--x steps is no cost; choose one of rollouts, tokens, flops, flops_sgpo, seconds"),
        (["--target", "nan"], "--target nan is no accuracy; give a number, e.g. 0.7"),
        (["--baseline", "spo"], "--baseline spo is no arm of this comparison; choose one of: grpo; recycle"),
        (["--out", "c.xlsx"], "--out c.xlsx: the ending says the format"),
        (["nowhere"], "nowhere is no directory"),
        (
            ["--metric", "no/such", "--out", "c.svg"],
            "--metric no/such: no run has it in its metrics.jsonl; choose another",
        ),
    ],
)
def test_bad_usage_is_a_sentence_and_exit_code_2(sweep, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(sweep), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("c.*"))


def test_a_damaged_run_is_a_sentence(sweep, capsys):
    (sweep / "grpo" / "seed-1" / "metrics.jsonl").write_text('{"step": 1}\nnothing\n{"step": 2}\n')
    assert main(["compare", str(sweep)]) == 2
    assert "metrics.jsonl, line 2: not a JSON object" in capsys.readouterr().err


def test_a_run_of_another_version_is_a_sentence(sweep, capsys):
    (sweep / "grpo" / "seed-1" / "config.toml").write_text("[train\n")
    assert main(["compare", str(sweep)]) == 2
    assert "config.toml is broken" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_a_sentence(sweep, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["compare", str(sweep), "--out", str(tmp_path / "file" / "c.md")]) == 2
    assert "c.md cannot be written" in capsys.readouterr().err
