"""Whole runs of the embedded task, small: promises 1 to 5 of the design."""

import json
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from dying import UPDATE, signalled
from embedded import EXAMPLE, QUICK
from fast import OF_THEIR_OWN, sample
from rekindle.assembly import open_run
from rekindle.config import ConfigError
from rekindle.given import Given
from rekindle.notices import RekindleWarning
from rekindle.observability.metrics import read_metrics
from rekindle.observability.report import write_report
from rekindle.observability.step_log import read_step_log
from rekindle.recipes import on_given_tasks
from rekindle.records.activity import Part
from rekindle.records.endings import Ending
from rekindle.repeating import repeat_step
from rekindle.training.checkpoint import Checkpoints
from rekindle.types import Fate, UserError
from rekindle.warm_starts.stage import start_model

CLOCKS = ("seconds", "time/")
METRICS_OF_THE_CONTRACT = [
    "step",
    "version",
    "seconds",
    "cpu_seconds",
    "rollouts",
    "generated_tokens",
    "prompt_tokens",
    "trained_tokens",
    "flops",
    "total_seconds",
    "total_cpu_seconds",
    "total_rollouts",
    "total_generated_tokens",
    "total_prompt_tokens",
    "total_trained_tokens",
    "total_flops",
    "groups/asked",
    "groups/mixed",
    "groups/all_correct",
    "groups/all_wrong",
    "groups/trained",
    "groups/fresh",
    "groups/rescued_hard",
    "groups/rescued_easy",
    "groups/excess",
    "groups/expired",
    "groups/failed",
    "reward/mean",
    "completion/length_mean",
    "completion/truncated",
    "advantage/abs_mean",
    "temperature/mean",
    "temperature/max",
    "loss",
    "entropy",
    "grad_norm",
    "lr",
    "time/generate",
    "time/verify",
    "time/train",
    "time/other",
    "policy_gap",
]


class Passing:
    """Stands before a part of a run, and passes on what it does not do itself."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Screen:
    """An observer that remembers."""

    def __init__(self):
        self.lines, self.warnings = [], []

    def step(self, metrics):
        self.lines.append(dict(metrics))

    def warn(self, text):
        self.warnings.append(text)


@contextmanager
def opened(config, directory, *, resume=False, engine=None, **seams):
    screen = Screen()
    with open_run(
        config,
        directory,
        start=lambda: start_model(config, lambda _: None),
        resume=resume,
        observer=lambda *_: screen,
        say=lambda _: None,
        given=Given(engine=engine),
        **seams,
    ) as loop:
        loop.screen = screen  # type: ignore[attr-defined]
        yield loop


def finish(config, directory, *, resume=False, **seams):
    with opened(config, directory, resume=resume, **seams) as loop:
        return loop.run(), loop


def without_clocks(directory):
    lines = read_metrics(directory / "metrics.jsonl")
    return [{k: v for k, v in line.items() if not any(clock in k for clock in CLOCKS)} for line in lines]


def ledger_rows(directory):
    connection = sqlite3.connect(directory / "ledger.sqlite")
    rows = connection.execute("SELECT * FROM groups ORDER BY request_id").fetchall()
    names = [column[1] for column in connection.execute("PRAGMA table_info(groups)")]
    connection.close()
    return [{name: value for name, value in zip(names, row, strict=True) if name != "seconds"} for row in rows]


def last_weights(directory):
    checkpoints = Checkpoints(directory / "checkpoints", keep=1)
    return load_file(checkpoints.path(checkpoints.steps()[-1]) / "model" / "model.safetensors")


def samples(directory):
    path = directory / "samples.jsonl"
    return path.read_bytes() if path.exists() else None


def assert_same_run(one, two):
    assert samples(one) == samples(two)
    assert without_clocks(one) == without_clocks(two)
    assert ledger_rows(one) == ledger_rows(two)
    first, second = last_weights(one), last_weights(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), "weights differ in a bit"


class LiveScreen(Screen):
    """An observer that follows as well, and remembers what the run was doing when it was told something."""

    def __init__(self):
        super().__init__()
        self.activity, self.written = None, []

    def follow(self, activity):
        self.activity = activity

    def samples(self, lines):
        self.written += lines


class Asking(Passing):
    """A part of a run; before and after what it does, it reads what the run says that it is doing."""

    def __init__(self, inner, screen, method):
        super().__init__(inner)
        self.doing, self._screen = [], screen
        setattr(self, method, self._watched(getattr(inner, method)))

    def _watched(self, method):
        def call(*arguments):
            self.doing.append(self._screen.activity.read())
            result = method(*arguments)
            result = list(result) if not isinstance(result, dict) and hasattr(result, "__next__") else result
            self.doing.append(self._screen.activity.read())
            return result

        return call


def test_an_observer_that_follows_reads_every_part_and_gets_the_samples(quick_config, tmp_path):
    screen, parts_of = LiveScreen(), {}

    def watching(parts):
        environment, trainer = Asking(parts.environment, screen, "play"), Asking(parts.trainer, screen, "update")
        evaluate = Asking(SimpleNamespace(run=parts.evaluate), screen, "run")
        parts_of.update(environment=environment, trainer=trainer, evaluate=evaluate)
        return replace(
            parts, environment=environment, trainer=trainer, evaluate=evaluate.run, observer=screen
        )  # fmt: skip

    config = quick_config("recycle", "train.steps=1", "eval.samples=2")
    finish(config, tmp_path / "run", adapt=watching)
    asked, played = parts_of["environment"].doing[:2]
    assert (asked.part, asked.expected, asked.ended, asked.tokens) == (Part.ROLLING_OUT, 16 * 4, 0, 0)
    assert (played.ended, played.tokens) == (16 * 4, screen.lines[1]["generated_tokens"])
    assert {one.part for one in parts_of["trainer"].doing} == {Part.TRAINING}
    before, after = parts_of["evaluate"].doing[:2]
    assert (before.part, before.expected, before.ended) == (Part.EVALUATING, 16 * 3, 0)
    assert after.ended == 16 * 3
    assert screen.written == list(read_step_log(tmp_path / "run" / "samples.jsonl"))


def test_files_and_keys_of_the_contract(quick_config, tmp_path):
    assert finish(quick_config(), tmp_path / "run")[0] is Ending.DONE
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"config.toml", "run.json", "metrics.jsonl", "ledger.sqlite", "checkpoints"}
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    for line in lines:
        assert not set(METRICS_OF_THE_CONTRACT) - set(line)
    assert [line["step"] for line in lines if "eval/accuracy" in line] == [0, 3, 4]
    assert all("eval/greedy" in line for line in lines if "eval/accuracy" in line)
    assert lines[-1]["total_rollouts"] == sum(line["rollouts"] for line in lines) == 4 * 16 * 4
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["seed"] == 0
    assert described["packages"]["torch"] == torch.__version__


@pytest.mark.parametrize("recipe", sample(on_given_tasks(), *OF_THEIR_OWN))
def test_every_recipe_trains_conserves_and_resumes_bit_for_bit(recipe, quick_config, tmp_path):
    extra = ["optimizer.warmup_steps=2", "optimizer.schedule=linear"] if recipe in {"grpo", "dapo"} else []
    config = quick_config(recipe, "checkpoint.keep=9", *extra)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    finish(config, whole)
    with opened(config, halves) as loop:
        assert loop.run(lambda: loop.step + 1 >= 3) is Ending.INTERRUPTED
    assert finish(config, halves, resume=True)[0] is Ending.DONE
    assert without_clocks(whole)[-1]["version"] > 0
    assert_same_run(whole, halves)
    rows, total = ledger_rows(whole), without_clocks(whole)[-1]["total_rollouts"]
    assert sum(row["n"] for row in rows) == total
    assert {row["fate"] for row in rows} <= set(Fate)


@pytest.mark.parametrize(
    ("moment", "at", "steps"),
    [
        pytest.param("evaluate", 1, 0, marks=pytest.mark.slow),
        ("evaluate", 2, 2),
        pytest.param("save", 1, 3, marks=pytest.mark.slow),
    ],
)
def test_an_interruption_during_an_evaluation_or_a_checkpoint_runs_no_further_step(
    moment, at, steps, quick_config, tmp_path
):
    """Also during the first evaluation; a checkpoint is written, and the resumed run is the uninterrupted one."""
    config = quick_config("grpo", "train.steps=5", "eval.every=2", "checkpoint.every=3", "checkpoint.keep=9")
    calls = []

    def noted(function):
        def called(*args):
            calls.append(moment)
            return function(*args)

        return called

    def watched(parts):
        if moment == "evaluate":
            return replace(parts, evaluate=noted(parts.evaluate))
        parts.checkpoints.save = noted(parts.checkpoints.save)
        return parts

    with opened(config, tmp_path / "halves", adapt=watched) as loop:
        assert loop.run(lambda: len(calls) >= at) is Ending.INTERRUPTED
        assert loop.step == steps
    saved = Checkpoints(tmp_path / "halves" / "checkpoints", keep=9).steps()
    assert saved == [steps]
    write_report(tmp_path / "halves")
    assert finish(config, tmp_path / "halves", resume=True)[0] is Ending.DONE
    finish(config, tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "halves")


@pytest.mark.parametrize(
    ("moment", "at"),
    [
        (UPDATE, 4),
        pytest.param("rekindle.observability.metrics:MetricsWriter.append", 2, marks=pytest.mark.slow),
        pytest.param("rekindle.training.checkpoint:split_arrays", 1, marks=pytest.mark.slow),
        pytest.param("rekindle.training.checkpoint:sync_tree", 1, marks=pytest.mark.slow),
    ],
    ids=["before an update", "before the metrics", "while a checkpoint is written", "before it is named"],
)
def test_kill_9_in_mid_run_then_resume_equals_the_uninterrupted_run(moment, at, quick_config, tmp_path):
    overrides = ("train.steps=6", "checkpoint.every=2", "task.pool_size=64")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(quick_config("recycle", *overrides), whole)
    command = ["train", str(EXAMPLE), "--recipe", "recycle", "--out", str(killed)]
    command += [part for key in (*QUICK, *overrides) for part in ("--set", key)]
    if moment != UPDATE:
        signalled(command, UPDATE, 4)
        assert len(read_metrics(killed / "metrics.jsonl")) == 4, "the start and three steps"
        command.append("--resume")
    signalled(command, moment, at)
    assert finish(quick_config("recycle", *overrides), killed, resume=True)[0] is Ending.DONE
    assert_same_run(whole, killed)


def test_an_interruption_in_the_last_step_lets_the_run_end(quick_config, tmp_path):
    """Its last evaluation is made; a resumed run, which has no step left, would not make it."""
    config = quick_config("recycle", "train.steps=2", "eval.every=99")
    with opened(config, tmp_path / "run") as loop:
        assert loop.run(lambda: loop.step + 1 > 2) is Ending.DONE
    assert "eval/accuracy" in read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]


@pytest.mark.slow
def test_killed_before_the_first_checkpoint_starts_again(quick_config, tmp_path):
    config = quick_config("recycle", "checkpoint.every=99")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(config, whole)
    with opened(config, broken) as loop:
        loop.begin()
        loop.do_step()
    finish(config, broken, resume=True)
    assert_same_run(whole, broken)


@pytest.mark.slow
def test_longer_is_a_continuation(quick_config, tmp_path):
    whole, extended = tmp_path / "whole", tmp_path / "extended"
    finish(quick_config("recycle", "train.steps=6", "eval.every=2"), whole)
    finish(quick_config("recycle", "train.steps=4", "eval.every=2"), extended)
    finish(quick_config("recycle", "train.steps=6", "eval.every=2"), extended, resume=True)
    assert_same_run(whole, extended)


def test_other_settings_do_not_resume(quick_config, tmp_path):
    finish(quick_config(), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"train.learning_rate = 0.1 differs from 0.0005 in .*config.toml"):
        finish(quick_config("recycle", "train.learning_rate=0.1"), tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match="is not empty; add --resume"):
        finish(quick_config(), tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="contains no run to resume"):
        finish(quick_config(), tmp_path / "other", resume=True)
    assert (tmp_path / "other" / "thesis.tex").exists()


def test_two_processes_do_not_train_in_one_directory(quick_config, tmp_path):
    with opened(quick_config(), tmp_path / "run") as loop:
        loop.begin()
        with pytest.raises(ConfigError, match="another process is training in"):
            finish(quick_config(), tmp_path / "run", resume=True)
    assert finish(quick_config(), tmp_path / "run", resume=True)[0] is Ending.DONE


@pytest.mark.slow
def test_budget_as_target_and_as_bound(quick_config, tmp_path):
    config = quick_config("grpo", "train.rollouts=70")
    ending, loop = finish(config, tmp_path / "bound")
    assert (ending, loop.step) == (Ending.BOUND, 3)
    assert "train.rollouts = 70 were spent at step 3 of 4" in loop.bound
    target = config.model_copy(update={"train": config.train.model_copy(update={"steps": None})})
    ending, loop = finish(target, tmp_path / "target")
    assert (ending, loop.step) == (Ending.DONE, 3)


def test_a_run_without_signal_stops_at_its_bound_and_says_so(quick_config, tmp_path):
    config = quick_config("grpo", "train.steps=50", "train.max_steps_without_signal=3", "engine.max_new_tokens=1")
    ending, loop = finish(config, tmp_path / "run")
    assert (ending, loop.step, loop.version) == (Ending.BOUND, 3, 0)
    assert "3 steps in a row had nothing to train on" in loop.bound
    assert without_clocks(tmp_path / "run")[-1]["groups/retired"] == 8
    assert without_clocks(tmp_path / "run")[-1]["loss"] is None


def test_a_refill_that_must_stop_keeps_its_account(quick_config, tmp_path):
    overrides = ("refill.max_rounds=2", "refill.on_exhausted=stop", "train.groups_per_step=80", "train.steps=9")
    ending, loop = finish(quick_config("dapo", *overrides), tmp_path / "run")
    assert ending is Ending.BOUND
    assert "of 80 groups with signal in 3 rounds" in loop.bound
    rows = ledger_rows(tmp_path / "run")
    assert sum(row["n"] for row in rows) == without_clocks(tmp_path / "run")[-1]["total_rollouts"]
    assert any(row["fate"] == "excess" for row in rows)


def test_an_empty_pool_stops_the_run_when_it_may_not_reset(quick_config, tmp_path):
    overrides = (
        "pool.on_empty=stop",
        "pool.reset_below=0",
        "task.pool_size=6",
        "train.steps=200",
        "train.temperature=1.5",
    )
    ending, loop = finish(quick_config("recycle", *overrides), tmp_path / "run")
    assert ending is Ending.BOUND
    assert "no eligible prompt left" in loop.bound or "nothing to train on" in loop.bound


@pytest.mark.slow
def test_starvation_is_warned_of_once_and_counted(quick_config, tmp_path):
    overrides = ("task.pool_size=16", "train.steps=24", "pool.reset_below=0", "eval.every=99", "train.temperature=0.3")
    _, loop = finish(quick_config("recycle", *overrides), tmp_path / "run")
    starving = [line["pool/starving"] for line in loop.screen.lines]
    assert any(starving)
    starts = sum(now > before for before, now in pairwise(starving))
    warnings = [text for text in loop.screen.warnings if "the pool is starving" in text]
    assert len(warnings) == starts
    assert "of 16" in warnings[0]


def test_steps_that_are_not_finite_are_skipped_counted_kept_and_stop_the_run_at_their_bound(quick_config, tmp_path):
    config = quick_config("recycle", "train.steps=9", "optimizer.max_skipped_steps=2", "checkpoint.every=1")
    run = tmp_path / "run"

    class Poisoned(Passing):
        def update(self, samples, version, *further):
            if version in (1, 3, 4):
                samples = [replace(samples[0], weight=float("nan")), *samples[1:]]
            return self.inner.update(samples, version, *further)

    ending, loop = finish(config, run, adapt=lambda parts: replace(parts, trainer=Poisoned(parts.trainer)))
    assert ending is Ending.BOUND
    assert "2 optimizer steps in a row were skipped" in loop.bound
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["optimizer/skipped"] for line in lines] == [None, 0, 1, 0, 1, 1]
    assert [line["loss"] is None for line in lines] == [True, False, True, False, True, True]
    assert sorted(path.name for path in (run / "skipped").iterdir()) == ["update-2-1", "update-4-1", "update-5-1"]
    repeated = repeat_step(run / "skipped" / "update-4-1")
    assert (repeated.outcome, repeated.not_finite) == ("the loss is nan", ["sample 0: its weight is nan"])
    assert all(torch.isfinite(tensor).all() for tensor in last_weights(run).values())
    again, loop = finish(config, run, resume=True)
    assert (again, loop.step) == (Ending.BOUND, 5)
    raised = quick_config("recycle", "train.steps=9", "optimizer.max_skipped_steps=3", "checkpoint.every=1")
    assert finish(raised, run, resume=True)[0] is Ending.DONE


def test_weights_that_are_not_finite_are_in_no_checkpoint(quick_config, tmp_path):
    config = quick_config("recycle", "train.steps=9", "optimizer.warmup_steps=0")

    class Poisoned(Passing):
        def update(self, samples, version, *further):
            if version == 3:
                with torch.no_grad():
                    next(iter(self.policy.model.parameters())).fill_(float("nan"))
            return self.inner.update(samples, version, *further)

    with (
        opened(config, tmp_path / "run", adapt=lambda parts: replace(parts, trainer=Poisoned(parts.trainer))) as loop,
        pytest.raises(UserError, match="its weights have diverged"),
    ):
        loop.run()
    assert any("are not finite, so step 4 has no checkpoint" in text for text in loop.screen.warnings)
    assert Checkpoints(tmp_path / "run" / "checkpoints", keep=1).steps() == [2]
    assert all(torch.isfinite(tensor).all() for tensor in last_weights(tmp_path / "run").values())
    assert finish(config, tmp_path / "run", resume=True)[0] is Ending.DONE


@pytest.mark.parametrize("exponent", sample([0.0, 0.5, 1.0], 0.5))
def test_the_step_is_scaled_by_the_share_of_groups_with_signal(exponent, quick_config, tmp_path):
    overrides = (f"optimizer.batch_exponent={exponent}", "optimizer.warmup_steps=0", "train.gate=everything")
    finish(quick_config("grpo", *overrides), tmp_path / "run")
    lines = without_clocks(tmp_path / "run")[1:]
    assert min(line["groups/mixed"] for line in lines) < 8
    expected = [5e-4 * (line["groups/mixed"] / 8) ** exponent for line in lines]
    assert [line["lr"] for line in lines] == pytest.approx(expected)


@pytest.mark.slow
def test_the_share_that_scales_a_step_is_that_of_its_own_phase(quick_config, tmp_path):
    """The last step of a phase with groups of 2 has 16 of them, although the next phase has 8 groups of 4."""
    overrides = ("optimizer.batch_exponent=1", "optimizer.warmup_steps=0", "train.gate=everything", "train.steps=6")
    phases = ("task.pool_size=32", "phases.constant=rollouts", "profile.trivial_above=1", "train.temperature=1.5")
    finish(quick_config("sgpo", *overrides, *phases), tmp_path / "run")
    size = {row["step"]: row["n"] for row in ledger_rows(tmp_path / "run")}
    lines = without_clocks(tmp_path / "run")[1:]
    assert len(set(size.values())) > 1
    for line in lines:
        share = line["groups/mixed"] / (32 / size[line["step"]])
        assert line["lr"] == pytest.approx(5e-4 * share), line["step"]


@pytest.mark.slow
def test_what_the_policy_moved_reaches_the_history(quick_config, tmp_path):
    _, loop = finish(quick_config("posterior_recycle"), tmp_path / "run")
    moved = [line["moved"] for line in without_clocks(tmp_path / "run")[1:]]
    assert min(moved) > 0
    assert loop.parts.scheduler.history.movement == pytest.approx(sum(moved))
    finish(quick_config("grpo"), tmp_path / "without")
    assert {line["moved"] for line in without_clocks(tmp_path / "without")} == {None}


class Failing(Passing):
    """An environment whose first requests break it."""

    def __init__(self, inner, steps):
        super().__init__(inner)
        self._steps = steps

    def play(self, requests):
        if self._steps > 0:
            self._steps -= 1
            yield from self.inner.play(requests[:3])
            raise RuntimeError("the engine lost its GPU")
        yield from self.inner.play(requests)


def test_a_failing_engine_makes_failed_groups_not_rewards(quick_config, tmp_path):
    def failing(parts):
        return replace(parts, environment=Failing(parts.environment, steps=1))

    ending, loop = finish(quick_config(), tmp_path / "run", adapt=failing)
    assert ending is Ending.DONE
    first, second = without_clocks(tmp_path / "run")[1:3]
    assert first["groups/failed"] == 13
    assert second["groups/failed"] == 0
    assert "13 of 16 groups failed (RuntimeError: the engine lost its GPU)" in loop.screen.warnings
    rows = [row for row in ledger_rows(tmp_path / "run") if row["fate"] == "failed"]
    assert len(rows) == 13
    assert {row["successes"] for row in rows} == {0}


@pytest.mark.slow
def test_a_full_disk_while_checkpointing_keeps_the_earlier_checkpoints(quick_config, tmp_path):
    """A real limit on file sizes: the weights do not fit, what is smaller does."""
    program = (
        "import resource, sys, rekindle.cli as cli\n"
        "import rekindle.training.checkpoint as checkpoint\n"
        "write = checkpoint.Checkpoints._write\n"
        "def limited(directory, *rest):\n"
        "    if directory.name == '.step-4':\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "    write(directory, *rest)\n"
        "checkpoint.Checkpoints._write = staticmethod(limited)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    run = tmp_path / "run"
    arguments = ["train", str(EXAMPLE), "--recipe", "recycle", "--out", str(run)]
    arguments += [part for key in QUICK for part in ("--set", key)]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "the checkpoint of step 4 could not be written" in done.stderr
    assert "the last complete one is step 2; free some space" in done.stderr
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-2"]
    assert finish(quick_config(), run, resume=True)[0] is Ending.DONE


def test_damaged_checkpoints_are_named(quick_config, tmp_path):
    finish(quick_config(), tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-4" / "state.json").write_text("{")
    (tmp_path / "run" / "checkpoints" / "step-2" / "model" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"step-4 is damaged, and no other checkpoint is whole .*step-2: model/tok"):
        finish(quick_config("recycle", "train.steps=9"), tmp_path / "run", resume=True)


@pytest.mark.parametrize(("kept", "words"), [(0, "is empty"), (2, "ends at step 1")])
def test_a_step_log_that_lost_its_steps_is_said(kept, words, quick_config, tmp_path):
    run = tmp_path / "run"
    with opened(quick_config(), run) as loop:
        assert loop.run(lambda: loop.step + 1 >= 3) is Ending.INTERRUPTED
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:kept]))
    with pytest.warns(RekindleWarning, match=rf"metrics.jsonl {words}, and the run goes on after step 2"):
        finish(quick_config(), run, resume=True)
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl")] == [*range(kept), 3, 4]


@pytest.mark.slow
def test_only_the_last_checkpoints_are_kept(quick_config, tmp_path):
    finish(quick_config("recycle", "checkpoint.every=1", "checkpoint.keep=2"), tmp_path / "run")
    assert Checkpoints(tmp_path / "run" / "checkpoints", keep=2).steps() == [3, 4]


@pytest.mark.slow
def test_off_means_off(quick_config, tmp_path):
    """Recycling at its neutral settings is plain GRPO, bit for bit, while no prompt is drawn twice."""
    same = ("train.oversample=1", "pool.reset_below=0", "task.pool_size=96", "train.steps=4")
    finish(quick_config("grpo", *same[2:]), tmp_path / "grpo")
    finish(quick_config("bounded_dapo", "train.oversample=1", *same[2:]), tmp_path / "bounded")
    assert_same_run(tmp_path / "grpo", tmp_path / "bounded")
    config = quick_config("dapo", "refill.max_rounds=0", "loss.clip_high=0.2", "loss.aggregation=group_token_mean")
    finish(config, tmp_path / "dapo")
    assert_same_run(tmp_path / "grpo", tmp_path / "dapo")
