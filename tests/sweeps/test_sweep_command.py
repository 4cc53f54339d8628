"""`rekindle train --seeds --recipes`: real sweeps of tiny runs, stopped and continued."""

import inspect
import json
import shutil
import signal
import subprocess
import sys

import pytest

from dying import UPDATE, signal_at, signalled
from embedded import EXAMPLE, QUICK
from rekindle.cli import main
from rekindle.observability.metrics import read_metrics
from rekindle.observability.runs import load_run
from rekindle.records.checkpoint_choice import last_checkpoint
from rekindle.sweeps import workers

SETTINGS = [part for key in (*QUICK, "task.pool_size=48") for part in ("--set", key)]
PROGRESS = "rekindle.sweeps.display:Display.progressed"
"""A run of the sweep has made a step, or its first evaluation."""


def command(out, *more, recipes="grpo,recycle", seeds="0-1"):
    return ["train", str(EXAMPLE), *SETTINGS, "--recipes", recipes, "--seeds", seeds, "--out", str(out), *more]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """``alone("grpo", 0)``: the same run made by a command of its own."""
    made = {}

    def run(recipe, seed):
        if (recipe, seed) not in made:
            made[recipe, seed] = tmp_path_factory.mktemp("alone") / "run"
            own = ["--recipe", recipe, "--seed", str(seed), "--out", str(made[recipe, seed])]
            assert main(["train", str(EXAMPLE), *SETTINGS, *own]) == 0
        return made[recipe, seed]

    return run


def assert_same_run(one, other):
    """All that does not depend on the clock is equal, bit for bit."""

    def lines(run):
        return [
            {key: value for key, value in line.items() if "seconds" not in key and not key.startswith("time/")}
            for line in read_metrics(run / "metrics.jsonl")
        ]

    def groups(run):
        return [{key: value for key, value in row.items() if key != "seconds"} for row in load_run(run).groups()]

    def files(run):
        last = last_checkpoint(run)
        assert last is not None
        return {path.relative_to(run): path.read_bytes() for path in sorted(last.rglob("*.safetensors"))}

    assert lines(one) == lines(other)
    assert groups(one) == groups(other)
    assert files(one) == files(other)
    for name in ("samples.jsonl", "config.toml", "model/model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def states(out):
    return {run["name"]: run["state"] for run in json.loads((out / "sweep.json").read_text())["runs"]}


def runs_of(out):
    return {path.name: path for path in out.glob("*-*")}


def assert_all_as_alone(out, alone):
    for name, path in runs_of(out).items():
        recipe, seed = name.rsplit("-", 1)
        assert_same_run(alone(recipe, int(seed)), path)


def contents(run):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("*") if path.is_file()}


def test_the_runs_of_a_sweep_are_those_of_single_commands(tmp_path, alone, capsys):
    out = tmp_path / "sweep"
    assert main(command(out, "--jobs", "1", recipes="grpo", seeds="0,2")) == 0
    output = capsys.readouterr()
    assert "2 runs (1 recipe x 2 seeds); 1 at a time, each with 1 thread" in output.err
    assert [line.split(", accuracy")[0] for line in output.out.splitlines()] == [
        *("grpo-0  done, step 4", "grpo-2  done, step 4"),
        *("next", f"  rekindle compare {out} --out {out / 'compare.html'}"),
    ]
    assert states(out) == {"grpo-0": "done", "grpo-2": "done"}
    assert_same_run(alone("grpo", 2), out / "grpo-2")  # the second of its process, whose model is a copy
    first, second = ((out / "logs" / f"grpo-{seed}.log").read_text() for seed in (0, 2))
    assert "step 4: " in first
    assert "step 4: " in second
    place = out / "grpo-2"
    repeats = ["train", str(EXAMPLE), "--recipe", "grpo", "--seed", "2", *SETTINGS, "--out", str(place)]
    assert load_run(place).info["command"] == repeats, "the command that makes this run alone"
    assert (out / "grpo-2" / "report.html").exists()

    before = {name: contents(path) for name, path in runs_of(out).items()}
    assert main(command(out, "--resume", recipes="grpo", seeds="0,2")) == 0
    assert "2 of them ended already" in capsys.readouterr().err
    assert {name: contents(path) for name, path in runs_of(out).items()} == before, (
        "runs that have ended are not touched"
    )


def test_a_sweep_loads_the_model_once_per_process(tmp_path):
    """The second run reads no weights: they are gone by then."""
    from rekindle.models.policy import Policy
    from rekindle.models.reading import KeptModel
    from rekindle.warm_starts.tiny_model import build_tiny

    build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2, intermediate_size=16).save(tmp_path / "model")
    read = KeptModel()
    first = Policy.load(tmp_path / "model", device="cpu", read=read)
    start = first.fingerprint()
    next(first.model.parameters()).data.add_(1.0)
    shutil.rmtree(tmp_path / "model")
    second = Policy.load(tmp_path / "model", device="cpu", read=read)
    assert second.fingerprint() == start
    assert first.fingerprint() != start
    tied = [policy.model.get_input_embeddings().weight.data_ptr() for policy in (first, second)]
    assert tied == [policy.model.get_output_embeddings().weight.data_ptr() for policy in (first, second)]
    assert tied[0] != tied[1]


@pytest.mark.slow
def test_interrupted_then_continued(tmp_path, alone, capsys):
    out = tmp_path / "sweep"
    done = signalled(command(out, "--jobs", "2"), PROGRESS, 4, signal.SIGINT)
    assert done.returncode == 130, done.stderr
    assert "interrupted: stopping after this step" in done.stderr
    assert "to continue, repeat the command with --resume" in done.stdout
    found = states(out)
    assert "interrupted" in found.values()
    assert "waiting" in found.values()
    begun = [load_run(path) for path in runs_of(out).values() if (path / "metrics.jsonl").is_file()]
    assert begun
    for run in begun:
        if run.metrics[-1]["step"] == 0:  # nothing was trained yet: it begins again
            continue
        assert run.checkpoints[-1].name == f"step-{run.metrics[-1]['step']}", "a checkpoint was written first"
    assert main(command(out, "--resume")) == 0
    assert set(states(out).values()) == {"done"}
    assert len(runs_of(out)) == 4
    assert_all_as_alone(out, alone)
    capsys.readouterr()


@pytest.mark.slow
def test_killed_and_continued(tmp_path, alone, capsys):
    """Workers of a killed sweep finish their step; the next start waits for them."""
    out = tmp_path / "sweep"
    signalled(command(out, "--jobs", "2", recipes="recycle"), PROGRESS, 4)
    assert main(command(out, "--resume", recipes="recycle")) == 0
    assert set(states(out).values()) == {"done"}
    assert_all_as_alone(out, alone)
    capsys.readouterr()


@pytest.mark.slow
def test_terminated_by_a_signal(tmp_path):
    done = signalled(command(tmp_path / "sweep", recipes="grpo", seeds="0"), PROGRESS, 2, signal.SIGTERM)
    assert done.returncode == 130, done.stderr
    assert states(tmp_path / "sweep") == {"grpo-0": "interrupted"}


DYING = f"""
{inspect.getsource(signal_at)}

signal_at({UPDATE!r}, 3, {int(signal.SIGKILL)})
from rekindle.sweeps.worker_main import main

main()
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_run_alone(tmp_path, alone, monkeypatch, capsys):
    out, started = tmp_path / "sweep", []

    def first_one_dies(module):
        started.append(module)
        return [sys.executable, "-c", DYING] if len(started) == 1 else [sys.executable, "-m", module]

    monkeypatch.setattr(workers, "python_command", first_one_dies)
    assert main(command(out, "--jobs", "1", recipes="grpo")) == 2
    output = capsys.readouterr()
    assert "grpo-0  failed" in output.out
    assert "its process was killed, perhaps for want of memory" in output.out
    assert states(out) == {"grpo-0": "failed", "grpo-1": "done"}
    assert len(started) == 2
    before = contents(out / "grpo-1")
    assert main(command(out, "--resume", recipes="grpo")) == 0
    assert contents(out / "grpo-1") == before
    assert_all_as_alone(out, alone)


@pytest.mark.slow
def test_a_run_that_fails_or_is_bound_does_not_stop_the_others(tmp_path, capsys):
    out = tmp_path / "sweep"
    bound = ["--set", "train.rollouts=40"]
    assert main(command(out, *bound, recipes="grpo")) == 3
    output = capsys.readouterr()
    assert "grpo-0  stopped at a bound, step 2 of 4" in output.out
    assert "train.rollouts = 40 were spent at step 2 of 4" in output.out
    for checkpoint in (out / "grpo-1" / "checkpoints").glob("step-*"):
        (checkpoint / "state.json").write_text("{")
    assert main(command(out, "--resume", recipes="grpo")) == 2  # without the bound: its length has changed
    output = capsys.readouterr()
    assert "grpo-0  done, step 4" in output.out
    assert "grpo-1  failed" in output.out
    assert "is damaged, and no other checkpoint is whole" in output.out
    assert f"log: {out / 'logs' / 'grpo-1.log'}" in output.out
    assert "Traceback" not in (out / "logs" / "grpo-1.log").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seeds", "3-1"], "the range 3-1 goes down; write 1-3"),
        (["--seeds", "0-1", "--seed", "3"], "--seed and --seeds exclude each other"),
        (["--recipes", "grpo", "--recipe", "erpo"], "--recipe and --recipes exclude each other"),
        (["--recipes", "grpo,recycel"], "did you mean recycle?"),
        (["--recipes", "grpo,grpo"], "names grpo twice"),
        (["--jobs", "2"], "--jobs is for a sweep; name its seeds or recipes"),
        (["--seeds", "0", "--jobs", "0"], "--jobs 0 makes no run; give at least 1"),
        (["--seeds", "0", "--set", "train.group_sise=4"], "did you mean train.group_size?"),
        (["--seeds", "0-1", "--set", "model.path=missing-model"], "missing-model"),
        (["--seeds", "0-1", "--set", "task.params.colour=1"], "task.params has no 'colour'"),
        (["--recipes", "grpo,sgpo", "--set", "profile.path=none.parquet"], "none.parquet"),
    ],
)
def test_what_cannot_be_made_is_one_sentence_before_anything_runs(more, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(EXAMPLE), *more]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_changed_setting_is_refused(tmp_path, capsys):
    out = tmp_path / "sweep"
    (out / "grpo-0").mkdir(parents=True)
    run = ["--seeds", "0-1", "--recipes", "grpo", "--out", str(out), "--resume"]
    (out / "grpo-0" / "config.toml").write_text(EXAMPLE.read_text())
    assert main(["train", str(EXAMPLE), *run, "--set", "train.learning_rate=0.1"]) == 2
    assert "train.learning_rate = 0.1 differs from 0.0005" in capsys.readouterr().err


def test_help_and_errors_need_no_torch(tmp_path):
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from rekindle.cli import main\n"
        f"raise SystemExit(main(['train', {str(EXAMPLE)!r}, '--seeds', '0-1', '--set', 'task.params.colour=1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "colour" in done.stderr
    assert "torch" not in done.stderr
    assert not list(tmp_path.iterdir())
