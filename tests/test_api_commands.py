"""The commands as functions: evaluate, try_out, sweep, compare and plan."""

import csv
import json
from types import SimpleNamespace

import pytest
import torch

import rekindle
from embedded import EXAMPLE
from rekindle.observability.runs import load_run
from rekindle.trial_words import trial_lines
from rekindle.types import UserError
from rekindle.warm_starts.tiny_model import build_tiny
from synthetic_arms import write_sweep

HALF = list("abcdefghijklm")
"""Accepted answers, so that random weights are right half of the time with a single letter."""
ROWS = [{"prompt": word, "answer": HALF} for word in ("abc", "tree", "pony", "lake", "river", "fort")]
TABLES = {
    "task": {"verifier": "exact_match"},
    "train": {"steps": 2, "groups_per_step": 2, "group_size": 4, "learning_rate": 1e-3},
    "engine": {"max_new_tokens": 1},
    "eval": {"prompts": 2, "every": 2},
}


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    return build_tiny(layers=1, hidden_size=16, max_length=64)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path / "cache"))


def silent(_):
    """Show nothing."""


# -- evaluate ---------------------------------------------------------------------------------------------------------


def test_every_given_row_is_asked(policy):
    told = []

    def note(*now):
        told.append(now)

    results = rekindle.evaluate(policy, ROWS, config=TABLES, samples=4, progress=note, say=silent)
    found = results.over_questions([1, 4])
    assert [task.prompt for task in results.sets[0].tasks] == [row["prompt"] for row in ROWS]
    rates = [results.correct(record) / 4 for record in results.records]
    assert found.pass_at[1] == pytest.approx(sum(rates) / 6)
    assert found.pass_at[4] == pytest.approx(sum(rate > 0 for rate in rates) / 6)
    assert told[-1][:2] == (6, 6)


def test_a_reward_of_ones_own_and_a_file_of_rows(policy, tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def always(completions, **_):
        return [1.0] * len(completions)

    tables = {name: table for name, table in TABLES.items() if name != "task"}
    results = rekindle.evaluate(
        policy, path, reward=always, config=tables, samples=2, temperature=0.0, out=tmp_path / "out", say=silent
    )
    assert [one.name for one in results.sets] == ["words"]
    assert results.over_questions([1]).pass_at[1] == 1.0
    assert (tmp_path / "out" / "journal.jsonl").is_file()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 0}, "--samples 0 makes no rollout"),
        ({"temperature": -1.0}, "--temperature -1 must be a number of at least 0"),
        ({"top_p": 0.0}, "--top-p 0 must be above 0"),
        ({"min_p": 1.0}, "--min-p 1 must be at least 0 and below 1"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0 leaves no room"),
        ({"sampling": "greedy"}, "--sampling greedy is unknown"),
        ({"checkpoint": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_evaluated_is_a_sentence(given, message, policy):
    with pytest.raises(UserError, match=message):
        rekindle.evaluate(policy, ROWS, config=TABLES, say=silent, **given)


# -- try_out ----------------------------------------------------------------------------------------------------------


def test_a_trial_has_rollouts_with_their_verdicts_and_writes_nothing(policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = rekindle.try_out(policy, ROWS, config=TABLES, measure=8, say=silent)
    assert (len(result.rollouts), result.samples, len(result.written)) == (8, 4, 2)
    assert result.successes == [sum(one.rollout.reward >= 0.5 for one in group) for group in result.written]
    lines = list(trial_lines(result, prompts=1))
    assert sum("the prompt as the model sees it" in line for line in lines) == 1
    assert any(line.startswith("8 rollouts of 2 prompts") for line in lines)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
    with pytest.raises(UserError, match="--measure 1 must be at least 2"):
        rekindle.try_out(policy, ROWS, config=TABLES, measure=1, say=silent)


# -- sweep ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tables(policy, tmp_path):
    """Settings of runs of a saved policy on a file of rows."""
    policy.save(tmp_path / "model")
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    task = {"source": "jsonl", "path": str(path), "verifier": "exact_match"}
    return TABLES | {"model": {"path": str(tmp_path / "model")}, "task": task}


def test_a_sweep_of_a_script_makes_the_runs_of_train_and_is_compared(tables, tmp_path, capsys):
    said = []
    how = {"out": tmp_path / "sweep", "overrides": ["eval.every=1"], "jobs": 1, "shown": False, "say": said.append}
    made = rekindle.sweep(tables, recipes=["grpo", "recycle"], seeds=[3], **how)
    assert made.finished
    assert list(made.runs) == ["grpo-3", "recycle-3"]
    assert any(line.startswith("2 runs (2 recipes x 1 seed); 1 at a time") for line in said)
    assert capsys.readouterr() == ("", "")
    alone = rekindle.train(config=settings_of(made.runs["recycle-3"]), out=tmp_path / "alone", say=silent)
    assert weights(alone) == weights(made.runs["recycle-3"])
    assert [arm.name for arm in rekindle.compare(made).arms] == ["grpo", "recycle"]
    again = rekindle.sweep(tables, recipes=["grpo"], seeds=[3], resume=True, **how)
    assert again.finished
    assert said[-1] == "1 run (1 recipe x 1 seed), 1 of them ended already"


def settings_of(run):
    return run.directory / "config.toml"


def weights(run):
    return (run.model / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": []}, r"seeds = \[\] has none, or one twice"),
        ({"recipes": ["grpo", "grpo"]}, "recipes = .* has none, or one twice"),
        ({"jobs": 0}, "--jobs 0 makes no run"),
        ({"recipes": ["nope"]}, "recipe 'nope' is unknown"),
        ({"overrides": ["train.stepz=3"]}, "train.stepz"),
    ],
)
def test_what_is_no_sweep_is_a_sentence(given, message, tmp_path):
    with pytest.raises(UserError, match=message):
        rekindle.sweep(EXAMPLE, out=tmp_path / "sweep", say=silent, **given)
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_of_tables_says_how_to_make_a_run_alone(tmp_path):
    from rekindle.sweeps.sweep import SweepSettings

    tables = {"task": {"source": "spell_backward"}, "train": {"steps": 2}}
    settings = SweepSettings(source=tables, seeds=[0, 1], recipes=["dapo"])
    runs = list(settings.runs(tmp_path))
    assert [run.name for run in runs] == ["dapo-0", "dapo-1"]
    assert runs[1].command == ("train", f"{tmp_path}/dapo-1/config.toml", "--out", f"{tmp_path}/dapo-1")
    assert (runs[1].config.recipe, runs[1].config.train.seed) == ("dapo", 1)


# -- compare ----------------------------------------------------------------------------------------------------------


def test_runs_are_compared_from_a_script(tmp_path):
    write_sweep(tmp_path / "sweep", {"grpo": 0.3, "recycle": 0.4}, noise=0.01)
    comparison = rekindle.compare(tmp_path / "sweep", x="tokens", target=0.5)
    paired = comparison.equal["tokens"].rows[1].paired
    assert paired is not None
    assert paired.count == 3
    assert comparison.text.startswith("At 20k generated tokens, the accuracy of recycle")
    comparison.write(tmp_path / "c.html", str(tmp_path / "c.csv"))
    lines = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert float(next(line["estimate"] for line in lines if line["estimate"])) == paired.mean
    one = load_run(tmp_path / "sweep" / "grpo" / "seed-0")
    sweep = SimpleNamespace(directory=tmp_path / "sweep" / "recycle")
    assert rekindle.compare(one, sweep).runs[0].directory == one.directory


def test_what_cannot_be_compared_is_a_sentence(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.3}, seeds=1)
    with pytest.raises(UserError, match="no runs were given"):
        rekindle.compare()
    with pytest.raises(UserError, match="--x hours is no cost"):
        rekindle.compare(tmp_path, x="hours")
    with pytest.raises(UserError, match="--metric eval/nope: no run has it"):
        rekindle.compare(tmp_path, metric="eval/nope")
    with pytest.raises(UserError, match="the ending says the format"):
        rekindle.compare(tmp_path).write(tmp_path / "c.doc")


# -- plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_of_a_script(tmp_path):
    rates = tmp_path / "rates.csv"
    rates.write_text("id,successes,samples\n" + "".join(f"{n},{n % 9},8\n" for n in range(60)))
    parts = []
    found = rekindle.plan(
        rates, recipes=["grpo"], group_sizes=[2, 8], model=7e9, lengths=(100, 500), gain=0,
        progress=lambda name, part: parts.append(part), say=silent,
    )  # fmt: skip
    assert [(one.arm.recipe, one.arm.size) for one in found.arms] == [("grpo", 2), ("grpo", 8)]
    assert found.parameters == 7_000_000_000
    assert "with signal" in found.text
    assert parts == sorted(parts)
    found.write(tmp_path / "plan.html")
    assert "What one epoch will cost" in (tmp_path / "plan.html").read_text()
    with pytest.raises(UserError, match="recipe 'nope' is unknown"):
        rekindle.plan(rates, recipes="nope", say=silent)
    with pytest.raises(UserError, match="--prompts 1 must be at least 2"):
        rekindle.plan(rates, prompts=1, say=silent)
