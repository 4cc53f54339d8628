"""Two processes make the decisions of one, and its updates up to rounding; a killed run goes on as if nothing was."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

RUN = Path(__file__).with_name("ranks.py")
COLUMNS = "request_id, step, task_id, n, temperature, successes, outcome, fate, generated_tokens"


def start(*words, processes=1, check=True):
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=0"]
    launcher += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(RUN), *map(str, words)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def ledger(out):
    with sqlite3.connect(out / "rekindle" / "ledger.sqlite") as database:
        return database.execute(f"SELECT {COLUMNS} FROM groups ORDER BY request_id").fetchall()


def metrics(out):
    lines = (out / "rekindle" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def start_model(tiny_model, tokenizer, tmp_path):
    tiny_model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize("recipe", ["recycle", "erpo", "c_rf_ntf", "sgpo"])
def test_two_processes_make_the_decisions_and_updates_of_one(recipe, start_model):
    one, two = start_model / "one", start_model / "two"
    start(one, recipe, 4, 8)
    start(two, recipe, 4, 4, processes=2)
    assert ledger(one) == ledger(two)
    for key in ("loss", "reward/mean", "advantage/abs_mean", "entropy", "clip_fraction", "policy_gap"):
        found = [[line[key] for line in metrics(out)] for out in (one, two)]
        assert found[0] == pytest.approx(found[1], abs=3e-6), key
    for key in ("rollouts", "generated_tokens", "trained_tokens", "groups/trained"):
        assert [line[key] for line in metrics(one)] == [line[key] for line in metrics(two)], key
    ours, theirs = (load_file(out / "end" / "model.safetensors") for out in (one, two))
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 1e-4


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("recycle", {}),
        ("erpo", {}),
        ("rekindle", {}),
        ("sgpo", {}),
        pytest.param("recycle", {"steps_per_generation": 4}, id="in the middle of a generation"),
    ],
)
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(recipe, changes, start_model):
    whole, killed = start_model / "whole", start_model / "killed"
    more = ("--set", json.dumps(changes), "--save", 3)
    start(whole, recipe, 6, 8, *more)
    assert start(killed, recipe, 6, 8, *more, "--die-at", 5, check=False).returncode == -9
    assert len(ledger(killed)) < len(ledger(whole))
    start(killed, recipe, 6, 8, *more, "--resume")
    assert ledger(whole) == ledger(killed)
    same = ["step", "version", "loss", "reward/mean", "total_rollouts", "entropy", "moved"]
    if changes:  # the sums of an update that was half done are those of its second half
        same = ["step", "version", "reward/mean", "total_rollouts"]
    assert [[line[key] for key in same] for line in metrics(whole)] == [
        [line[key] for key in same] for line in metrics(killed)
    ]
    ours, theirs = (load_file(out / "end" / "model.safetensors") for out in (whole, killed))
    assert all(ours[name].equal(theirs[name]) for name in ours)
