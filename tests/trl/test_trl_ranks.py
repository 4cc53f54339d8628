"""Two processes make the decisions of one, and its updates up to rounding; a killed run goes on as if nothing was."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from ranks import Run, asked
from safetensors.torch import load_file

import rekindle
from rekindle.evaluation.profile_file import load_profile
from rekindle.types import Fate

FILE = Path(__file__).with_name("ranks.py")
TRAINER = "rekindle.integrations.trl.trainer:RekindleTrainer"
COLUMNS = (
    "request_id, step, version, task_id, n, temperature, successes, outcome, previous_outcome, first_outcome, fate, "
    "prompt_tokens, generated_tokens"
)


class Runner:
    """Makes runs in children of a process that has imported the libraries."""

    def __init__(self, model):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.model, self.kept = model, {}
        self._process: Any = subprocess.Popen(
            [sys.executable, str(FILE), str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, *runs):
        """Make runs side by side; of each the exit codes of its processes, and its output."""
        self._process.stdin.write(f"{asked(runs)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def done(self, *runs):
        """Make runs that have to succeed."""
        for run, (codes, output) in zip(runs, self(*runs), strict=True):
            assert codes == [0] * run.processes, output

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def runner(model_directory):
    made = Runner(model_directory)
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(runner, tmp_path_factory):
    """A function that makes an uninterrupted run, once."""
    found = {}

    def make(run):
        key = json.dumps(asdict(replace(run, out="", moment="")), sort_keys=True)
        if key not in found:
            found[key] = tmp_path_factory.mktemp("whole") / "run"
            runner.done(replace(run, out=str(found[key]), moment=""))
        return found[key]

    return make


def selected(request):
    """Names of the cases of a test that were selected."""
    function = request.function.__name__
    return [item.callspec.params["name"] for item in request.session.items if item.originalname == function]


def ledger(out):
    with sqlite3.connect(out / "rekindle" / "ledger.sqlite") as database:
        return database.execute(f"SELECT {COLUMNS} FROM groups ORDER BY request_id").fetchall()


def lines(out):
    """``metrics.jsonl`` without the numbers of a clock."""
    found = [json.loads(line) for line in (out / "rekindle" / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not clocked(key)} for line in found]


def clocked(key):
    return "seconds" in key or key.startswith("time/")


def texts(out, name):
    return (out / "rekindle" / name).read_text()


def weights(out):
    return load_file(out / "end" / "model.safetensors")


def check_conservation(out):
    run = rekindle.load_run(out / "rekindle")
    assert sum(row["n"] for row in run.groups()) == run.metrics[-1]["total_rollouts"]
    assert {row["fate"] for row in run.groups()} <= {str(fate) for fate in Fate}


def check_equal(first, second):
    """Two runs that are equal bit for bit."""
    assert ledger(first) == ledger(second)
    assert lines(first) == lines(second)
    assert texts(first, "samples.jsonl") == texts(second, "samples.jsonl")
    ours, theirs = weights(first), weights(second)
    assert all(ours[name].equal(theirs[name]) for name in ours)
    check_conservation(second)


def check_alike(first, second):
    """Two runs with the same decisions, and numbers that differ by rounding."""
    assert ledger(first) == ledger(second)
    assert len(lines(first)) == len(lines(second))
    for ours, theirs in zip(lines(first), lines(second), strict=True):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            if key in ("padded_tokens", "computed_tokens", "recomputed_tokens", "microbatches", "flops", "total_flops"):
                continue
            noise = 2e-5 if isinstance(value, float) else 0
            assert theirs[key] == (pytest.approx(value, abs=noise, rel=noise) if noise else value), key
    ours, theirs = weights(first), weights(second)
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 1e-4
    check_conservation(second)


# -- several processes ------------------------------------------------------------------------------------------------

ONE_AND_TWO = {
    "recycle": Run("", "recycle"),
    "sgpo": Run("", "sgpo", prompts=16),
    "an odd number of rows": Run(
        "", {"recipe": "sgpo", "profile": {"samples": 3}}, prompts=15, changes={"num_generations": 8}
    ),
    "accumulation": Run("", "recycle", rows=4, changes={"gradient_accumulation_steps": 4}),
    "several updates": Run("", "grpo", rows=4, changes={"steps_per_generation": 4, "num_iterations": 2}),
    "groups without a reward": Run("", "recycle", reward="sometimes"),
}


@pytest.fixture(scope="module")
def pairs(runner, tmp_path_factory):
    """A function that makes all selected cases, once, and gives the directories of one."""
    found = {}

    def make(request):
        if not found:
            for name in selected(request):
                out = tmp_path_factory.mktemp("pair")
                one = replace(ONE_AND_TWO[name], out=str(out / "one"))
                found[name] = [one, replace(one, out=str(out / "two"), rows=one.rows // 2, processes=2)]
            answers = iter(runner(*(run for pair in found.values() for run in pair)))
            found.update({name: [(Path(run.out), *next(answers)) for run in pair] for name, pair in found.items()})
        return found[request.node.callspec.params["name"]]

    return make


@pytest.mark.parametrize("name", ONE_AND_TWO)
def test_two_processes_make_the_decisions_and_updates_of_one(name, pairs, request):
    (one, codes, output), (two, both, outputs) = pairs(request)
    assert codes == [0], output
    assert both == [0, 0], outputs
    check_alike(one, two)
    found = lines(one)
    if name == "raised temperatures":
        assert max(line["temperature/max"] for line in found) > 1
    if name == "refill":
        assert any(line["groups/asked"] > 4 for line in found)
    if name == "groups without a reward":
        assert sum(line["groups/failed"] for line in found) > 0
    if name == "an odd number of rows":
        assert load_profile(two / "rekindle" / "profile.parquet").samples.sum() % 2


# -- kills ------------------------------------------------------------------------------------------------------------

SAVING = Run("", "recycle", steps=4, save=2, changes={"save_total_limit": 1})
PROFILED = replace(SAVING, recipe="sgpo", prompts=16)
BETWEEN = Run("", "recycle", steps=4, save=3, changes={"steps_per_generation": 4})
HEATED = Run("", "erpo", steps=6, save=3, reward="often", prompts=16)
KILLS = {
    "end of a step": replace(SAVING, moment=f"{TRAINER}.end_step", at=3),
    "erpo": replace(HEATED, moment=f"{TRAINER}.end_step", at=5),
    "rekindle": replace(SAVING, recipe="rekindle", moment=f"{TRAINER}.end_step", at=3),
    "posterior": replace(SAVING, recipe="posterior_recycle", moment=f"{TRAINER}.end_step", at=3),
    "sgpo": replace(PROFILED, moment=f"{TRAINER}.end_step", at=3),
    "in the middle of a generation": replace(BETWEEN, moment=f"{TRAINER}.end_step", at=4),
    "before the state": replace(SAVING, moment=f"{TRAINER}._save_checkpoint", at=2),
    "in the state": replace(SAVING, moment="rekindle.integrations.state_folder:sync_tree", at=2),
    "between the state and the model": replace(SAVING, moment="transformers:Trainer._save_checkpoint", at=2),
    "between the model and the optimizer": replace(
        SAVING, moment="transformers:Trainer._save_optimizer_and_scheduler", at=2
    ),
    "before the trainer's state": replace(SAVING, moment="transformers:TrainerState.save_to_json", at=2),
    "in the trainer's state": replace(SAVING, moment="torn_state", at=2),
    "before the rotation": replace(SAVING, moment="transformers.trainer:rotate_checkpoints", at=2),
    "in the rotation": replace(SAVING, moment="half_rotated", at=2),
    "in the first checkpoint": replace(SAVING, moment="transformers:Trainer._save_checkpoint"),
    "in the rollouts": replace(
        SAVING, moment="rekindle.integrations.trl.sampling.rollouts:TrlRollouts._together", at=4
    ),
    "in the update": replace(SAVING, moment="transformers:Trainer.training_step", at=6),
    "in the files of a step": replace(SAVING, moment="rekindle.records.run_files:RunFiles.write_samples", at=3),
    "in the profile": replace(PROFILED, moment="rekindle.evaluation.journal:Journal.add", at=9),
    "before the profile is kept": replace(PROFILED, moment="rekindle.evaluation.kept_profile:save_profile"),
    "before the settings": replace(SAVING, moment="rekindle.records.run_directory:describe"),
    "between the settings and run.json": replace(SAVING, moment="rekindle.records.run_directory:replace_text", at=2),
    "before the tasks": replace(SAVING, moment="rekindle.integrations.run_folder:keep_tasks"),
    "before the ledger": replace(SAVING, moment="rekindle.integrations.run_folder:opened_run_files"),
    "before the first step": replace(SAVING, moment=f"{TRAINER}._collected"),
    "at the end": replace(SAVING, moment="rekindle.integrations.run_folder:write_report"),
}


@pytest.fixture(scope="module")
def survivors(runner, whole, tmp_path_factory):
    """A function that kills and resumes all selected cases, once, and gives what became of one."""
    found = {}

    def make(request):
        if not found:
            names = selected(request)
            killed = [replace(KILLS[name], out=str(tmp_path_factory.mktemp("killed") / "run")) for name in names]
            deaths = runner(*killed)
            resumed = [replace(run, moment="", resume=has_checkpoint(Path(run.out))) for run in killed]
            for name, run, death, end in zip(names, killed, deaths, runner(*resumed), strict=True):
                found[name] = (Path(run.out), death, end)
        return found[request.node.callspec.params["name"]]

    return make


def has_checkpoint(out):
    return any((path / "trainer_state.json").is_file() for path in out.glob("checkpoint-*"))


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(name, survivors, whole, request):
    out, (codes, output), (ends, outputs) = survivors(request)
    assert codes == [-9], output
    assert ends == [0], outputs
    check_equal(whole(KILLS[name]), out)


@pytest.mark.parametrize(
    ("run", "at", "dies"),
    [(SAVING, 3, 1), (BETWEEN, 4, 0)],
    ids=["between generations", "in the middle of a generation"],
)
def test_two_killed_processes_go_on_as_two(run, at, dies, runner, whole, tmp_path):
    two = replace(run, rows=4, processes=2)
    killed = replace(two, out=str(tmp_path / "killed"), moment=f"{TRAINER}.end_step", at=at, dies=dies)
    [[codes, output]] = runner(killed)
    assert -9 in codes, output
    assert set(codes) <= {-9, 1}, "the other process may have met a closed connection before its own kill"
    runner.done(replace(killed, moment="", resume=True))
    check_equal(whole(two), tmp_path / "killed")


def test_two_killed_processes_go_on_as_one_between_generations(runner, whole, tmp_path):
    killed = replace(SAVING, out=str(tmp_path / "killed"), rows=4, processes=2, moment=f"{TRAINER}.end_step", at=3)
    runner(killed)
    runner.done(replace(killed, moment="", resume=True, rows=8, processes=1))
    check_alike(whole(SAVING), tmp_path / "killed")


def test_another_number_of_processes_in_the_middle_of_a_generation_is_refused(runner, tmp_path):
    killed = replace(BETWEEN, out=str(tmp_path / "killed"), rows=4, processes=2, moment=f"{TRAINER}.end_step", at=4)
    runner(killed)
    [[codes, output]] = runner(replace(killed, moment="", resume=True, rows=8, processes=1))
    assert codes == [1]
    last = output.strip().splitlines()[-1]
    assert last.endswith(
        "was written in the middle of a generation by 2 processes, and there is 1; go on with as many, or from a "
        "checkpoint between generations"
    )


def test_a_launcher_starts_two_processes(model_directory, whole, tmp_path):
    two = replace(ONE_AND_TWO["recycle"], rows=4, processes=2)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", str(FILE), str(model_directory)]
    run = json.dumps(asdict(replace(two, out=str(tmp_path / "two"))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, run], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    check_equal(whole(two), tmp_path / "two")
