"""`rekindle plan`: sources, options, the table and the page, and what cannot be planned."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rekindle.cli import main
from rekindle.evaluation.profile_file import save_profile
from rekindle.scheduling.profiling import Profile, ProfileKey

sys.path.insert(0, str(Path(__file__).parents[1] / "observability"))

from synthetic_run import write_run

HOSTILE = "<script>alert(1)</script>\u202eid\x00"


def profile(tmp_path, successes=None, samples=8, prompts=300):
    if successes is None:
        rng = np.random.default_rng(0)
        successes = rng.binomial(samples, rng.beta(0.5, 0.7, prompts))
    successes = np.asarray(successes, np.int64)
    count = len(successes)
    path = tmp_path / "profile.parquet"
    tokens = np.full(count, 10 * samples)
    save_profile(
        path,
        Profile(
            key=ProfileKey("model", "exact", 1.0, 16),
            task_ids=[f"{HOSTILE}{row}" for row in range(count)],
            successes=successes,
            samples=np.full(count, samples),
            generated_tokens=tokens,
            prompt_tokens=np.full(count, 5),
            flops=2.0 * 1000 * (tokens.sum() + 5 * count),
        ),
    )
    return path


def table(tmp_path, text, name="rates.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def planned(capsys, *arguments):
    """Exit code and printed text."""
    code = main(["plan", *map(str, arguments), "--groups-per-step", "8"])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_profile_is_planned_in_a_table_and_on_a_page(tmp_path, capsys):
    out = tmp_path / "plan.html"
    code, text, _ = planned(
        capsys,
        profile(tmp_path),
        "--recipe",
        "grpo,recycle,sgpo,rekindle,self_play",
        "--group-size",
        "2,4",
        "--out",
        out,
    )
    assert code == 0
    rows = [line.split()[0:2] for line in text.splitlines() if line.startswith(("grpo  ", "recycle  ", "sgpo  "))]
    assert rows == [["grpo", "2"], ["grpo", "4"], ["recycle", "2"], ["recycle", "4"], ["sgpo", "its"]]
    assert "FLOPs" in text
    assert "self_play creates its prompts while it runs" in text
    page = out.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Assumptions" in page
    assert "Groups with signal per 1,000 rollouts" in page
    assert page.count("<script") == 1, "that of the page's frame"
    assert "src=" not in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "rate,count\n0.0,50\n0.25,30\n1.0,20\n"),
        ("b.csv", "successes,samples,count\n0,8,50\n2,8,30\n8,8,20\n"),
        (
            "c.json",
            json.dumps([{"successes": 0, "samples": 4, "count": 60}, {"successes": 3, "samples": 4, "count": 40}]),
        ),
        (
            "d.jsonl",
            "\n".join(json.dumps({"id": f"{HOSTILE}{n}", "samples": 8, "successes": n % 9}) for n in range(100)),
        ),
        ("e.tsv", "pass_rate\tn\n" + "0.5\t4\n" * 100),
        ("f.json", json.dumps({"rows": [{"rate": 0.5, "count": 100}]})),
    ],
)
def test_tables_of_pass_rates_are_read(name, text, tmp_path, capsys):
    code, out, _ = planned(capsys, table(tmp_path, text, name), "--recipe", "grpo", "--group-size", "4")
    assert code == 0
    assert out.startswith("pass rates of 100 prompts: mean success rate")
    assert "Lengths are not known" in out


def test_a_histogram_and_its_rows_say_the_same(tmp_path, capsys):
    rows = table(tmp_path, "successes,samples\n" + "0,4\n" * 6 + "1,4\n" * 4, "rows.csv")
    cells = table(tmp_path, "successes,samples,count\n0,4,6\n1,4,4\n", "cells.csv")
    one, two = (planned(capsys, path, "--recipe", "grpo,erpo")[1] for path in (rows, cells))
    assert one == two


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "no rows"),
        ("a.csv", "successes,samples\n", "no rows"),
        ("a.csv", "prompt,answer\n2+2,4\n", "no pass rates \\(its columns: answer, prompt\\)"),
        ("a.csv", "successes,samples\n3,2\n", "3 successes of 2 samples"),
        ("a.csv", "successes,samples\n-1,2\n", "impossible"),
        ("a.csv", "successes,samples\nmany,2\n", "a.csv:2: successes = 'many' is no whole number"),
        ("a.csv", "successes,samples\n1.5,2\n", "no whole number"),
        ("a.csv", "successes,samples\n1,1e400\n", "no whole number"),
        ("a.csv", "successes,samples\n0,0\n", "no prompt with samples"),
        ("a.csv", "rate,count\n1.5,3\n", "is no rate"),
        ("a.csv", "rate,count\nnan,3\n", "is no rate"),
        ("a.csv", "rate,count\n0.5,-3\n", "at least 0 prompts"),
        ("a.jsonl", '{"successes": 1, "samples": 2}\n{"succ', "a.jsonl:2"),
        ("a.jsonl", '{"id": "x", "successes": 1, "samples": 2}\n{"id": "x", "successes": 1, "samples": 2}', "twice"),
        ("a.jsonl", '{"successes": true, "samples": 2}', "no whole number"),
        ("a.json", "[1, 2]", "expected"),
        ("a.json", "{", "expected"),
        ("a.parquet", "no parquet", "damaged or no Parquet file"),
    ],
)
def test_what_is_no_table_of_pass_rates_is_a_sentence(name, text, said, tmp_path, capsys):
    code, out, err = planned(capsys, table(tmp_path, text, name))
    assert code == 2
    assert not out
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert re.search(said, err), err


def test_hostile_columns_and_values_are_shown_as_text(tmp_path, capsys):
    _, _, err = planned(capsys, table(tmp_path, json.dumps({HOSTILE: 1}), "a.jsonl"))
    assert "\u202e" not in err
    assert "\x00" not in err
    _, _, err = planned(capsys, table(tmp_path, json.dumps({"successes": HOSTILE, "samples": 1}), "a.jsonl"))
    assert "\u202e" not in err


@pytest.mark.parametrize("successes", [[0] * 20, [8] * 20, [3]], ids=["none solved", "all solved", "one row"])
def test_one_sided_profiles_give_an_honest_page(successes, tmp_path, capsys):
    out = tmp_path / "plan.html"
    code, text, _ = planned(capsys, profile(tmp_path, successes), "--out", out)
    assert code == 0
    assert "grpo" in text
    assert "nan" not in text + out.read_text().replace("nance", "")


def test_a_run_is_planned_from_its_first_visits_and_its_gain(tmp_path, capsys):
    """Also that of another trainer, whose files are in a folder of its directory."""
    other = tmp_path / "trl"
    run = write_run(other / "rekindle", steps=40, pool=512)
    for directory in (run, other):
        code, text, _ = planned(capsys, directory, "--recipe", "grpo", "--group-size", "4")
        assert code == 0
        assert text.startswith("the first visits of ")
    rates = table(tmp_path, "successes,samples,count\n0,8,50\n2,8,30\n")
    assert planned(capsys, rates, "--recipe", "grpo", "--gain", other)[0] == 0
    code, _, err = planned(capsys, tmp_path)
    assert code == 2
    assert "is not a run" in err


def test_a_run_without_a_group_is_a_sentence(tmp_path, capsys):
    code, _, err = planned(capsys, write_run(tmp_path / "run", steps=0))
    assert code == 2
    assert "no finished group yet" in err


def test_self_play_cannot_be_planned(tmp_path, capsys):
    run = write_run(tmp_path / "run", steps=3)
    config = run / "config.toml"
    config.write_text(config.read_text().replace('"spell_backward"', '"self_play"'))
    code, _, err = planned(capsys, run)
    assert code == 2
    assert "self-play" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "grpoo"], "'grpoo' is unknown"),
        (["--recipe", ","], "names no recipe"),
        (["--group-size", "a"], "expected numbers"),
        (["--group-size", "0"], "at least 1"),
        (["--budget-rollouts", "0"], "at least 1"),
        (["--steps", "-1"], "at least 1"),
        (["--prompts", "1"], "at least 2"),
        (["--prompts", "1000000000"], "above 100,000,000"),
        (["--gain", "-1"], "at least 0"),
        (["--gain", "nowhere"], "is not a run"),
        (["--model", "nothing"], "no number of parameters"),
        (["--lengths", "5"], "expected two numbers"),
        (["--workers", "4"], "needs --steps"),
        (["--workers", "4", "--steps", "3", "--latency", "never"], "--latency never is unknown"),
        (["--workers", "4", "--steps", "3", "--tokens-per-second", "0"], "above 0"),
        (["--seed", "-1"], "at least 0"),
        (["--out", "/nowhere/plan.html"], "cannot be written"),
    ],
)
def test_options_that_cannot_be_used_are_sentences(arguments, said, tmp_path, capsys):
    code, out, err = planned(capsys, table(tmp_path, "successes,samples\n1,2\n0,2\n"), *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_there_is_no_such_file(tmp_path, capsys):
    code, _, err = planned(capsys, tmp_path / "none.parquet")
    assert code == 2
    assert "there is no file or directory" in err


@pytest.mark.parametrize("model", ["1.5B", "1500000000", "1.5e9", "Qwen/Qwen2.5-1.5B-Instruct"])
def test_flops_need_a_size(model, tmp_path, capsys):
    text = "successes,samples,count\n0,8,50\n2,8,30\n"
    arguments = ["--recipe", "grpo", "--group-size", "4", "--lengths", "100,200", "--model", model]
    code, out, _ = planned(capsys, table(tmp_path, text), *arguments)
    assert code == 0
    assert "PFLOP" in out or "EFLOP" in out


def test_a_budget_and_a_larger_pool(tmp_path, capsys):
    path = table(tmp_path, "successes,samples,count\n0,8,50\n2,8,30\n")
    arguments = ["--recipe", "grpo,recycle", "--group-size", "4", "--budget-rollouts", "640", "--prompts", "5000"]
    code, out, err = planned(capsys, path, *arguments)
    assert code == 0
    assert "planning 640 rollouts for 5,000 prompts" in err
    assert "640" in out


def test_a_cluster_has_throughput_staleness_waste_and_memory(tmp_path, capsys):
    path, out = table(tmp_path, "successes,samples,count\n0,8,50\n2,8,30\n7,8,40\n"), tmp_path / "plan.html"
    cluster = ["--workers", "20", "--slots", "2", "--steps", "6", "--off-policy", "0,2", "--latency", "pareto"]
    code, text, _ = planned(capsys, path, "--prompts", "2000", *cluster, "--out", out)
    assert code == 0
    lines = [line for line in text.splitlines() if "at most" in line]
    assert [line.split()[:3] for line in lines] == [[name, "8", lag] for name in ("grpo", "recycle") for lag in "02"]
    assert [re.findall(r"at most (\d+)", line) for line in lines] == [["0"], ["2"], ["0"], ["2"]]
    assert "On the cluster" in out.read_text()
    again = planned(capsys, path, "--prompts", "2000", *cluster)[1].splitlines()
    assert [line.split()[:9] for line in again if "at most" in line] == [line.split()[:9] for line in lines]


@pytest.mark.slow
def test_an_interrupted_plan_says_what_it_found(tmp_path):
    path = table(tmp_path, "successes,samples,count\n0,8,500000\n2,8,300000\n8,8,400000\n")
    command = [sys.executable, "-m", "rekindle", "plan", str(path), "--recipe", "grpo,recycle", "--group-size", "4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stderr is not None
    for line in process.stderr:
        if "recycle" in line:
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "grpo" in out
    assert "interrupted" in out
