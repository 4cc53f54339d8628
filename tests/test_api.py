"""rekindle.train: what is given is used, and the run is like one of the command."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

import rekindle
from rekindle.cli import main
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy
from rekindle.notices import RekindleWarning
from rekindle.observability.metrics import read_metrics
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.tasks.task_set import prompt_id
from rekindle.types import Document, Task, UserError
from rekindle.warm_starts.tiny_model import build_tiny

WORDS = ("abc", "tree", "pony", "lake", "river", "fort", "made", "clue", "wind", "rain", "gold", "sand")
HALF = list("abcdefghijklm")
"""Accepted answers, so that a policy of random weights is right half of the time with a single letter."""
ROWS: list[dict[str, Any]] = [{"prompt": word, "answer": HALF} for word in WORDS]
TABLES: dict[str, dict[str, Any]] = {
    "task": {"verifier": "exact_match"},
    "train": {"steps": 2, "groups_per_step": 4, "group_size": 4, "learning_rate": 1e-3},
    "engine": {"max_new_tokens": 1},
    "eval": {"prompts": 4, "every": 2},
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    torch.manual_seed(0)
    return build_tiny(layers=1, hidden_size=16, max_length=64)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path / "cache"))


def tables(**train):
    return TABLES | {"train": TABLES["train"] | train}


def train(policy, tmp_path, name="run", **more):
    settings = {"config": TABLES, "out": tmp_path / name, "say": lambda _: None} | more
    return rekindle.train(policy, settings.pop("tasks", ROWS), **settings)


def bits(run):
    """What a run computed: its metrics without clocks, and its weights."""
    lines = [
        {k: v for k, v in line.items() if "seconds" not in k and not k.startswith("time/")} for line in run.metrics
    ]
    return lines, (run.model / "model.safetensors").read_bytes()


def test_a_run_has_the_files_of_a_run(policy, tmp_path):
    before = policy.fingerprint()
    run = train(policy, tmp_path)
    assert (run.ending, run.bound) == ("done", "")
    assert [line["step"] for line in run.metrics] == [0, 1, 2]
    assert (run.directory / "report.html").is_file()
    assert policy.fingerprint() == before, "a given policy is copied"
    assert run.metrics[-1]["groups/trained"] > 0
    assert Policy.load(run.model).fingerprint() != before
    assert run.config["task"] == run.config["task"] | {"source": "given", "verifier": "exact_match"}
    assert run.info["given"] == ["tasks"]
    with pytest.raises(UserError, match="is not empty; add --resume"):
        train(policy, tmp_path)


def test_given_rows_train_as_a_file_of_them_does(policy, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    from_file = train(policy, tmp_path, "file", tasks=file)
    rows = train(policy, tmp_path, "rows")
    as_tasks = [Task(prompt_id(word), word, tuple(HALF)) for word in WORDS]
    assert bits(rows) == bits(from_file)
    assert bits(train(policy, tmp_path, "tasks", tasks=as_tasks)) == bits(rows)


def test_a_transformers_model_with_its_tokenizer_is_a_policy(policy, tmp_path):
    assert bits(train((policy.model, policy.tokenizer), tmp_path, "pair")) == bits(train(policy, tmp_path))


def test_a_resumed_run_is_that_of_one_piece(policy, tmp_path):
    whole = train(policy, tmp_path, "whole", config=tables(steps=4))
    train(policy, tmp_path, "halves")
    halves = train(policy, tmp_path, "halves", config=tables(steps=4), resume=True)
    assert bits(halves) == bits(whole)
    assert halves.ending == "done"


class Watch:
    def __init__(self):
        self.seen = []

    def on_step(self, metrics, samples):
        assert {line["step"] for line in samples} == {metrics["step"]}
        self.seen.append(("step", metrics["step"]))

    def on_evaluation(self, metrics):
        self.seen.append(("evaluation", metrics["step"]))
        raise RuntimeError("no disk")

    def on_checkpoint(self, directory):
        assert (directory / "state.json").is_file()
        self.seen.append(("checkpoint", directory.name))


def test_callbacks_see_the_run_and_cannot_end_it(policy, tmp_path):
    watch = Watch()
    with pytest.warns(RekindleWarning, match=r"Watch\.on_evaluation raised RuntimeError: no disk .*the run goes on"):
        run = train(policy, tmp_path, callbacks=[watch])
    assert watch.seen == [("evaluation", 0), ("step", 1), ("step", 2), ("evaluation", 2), ("checkpoint", "step-2")]
    assert bits(run) == bits(train(policy, tmp_path, "without"))


def test_an_engine_that_is_given_samples(policy, tmp_path):
    made = []

    def engine(config, of_policy):
        made.append(config.engine.max_new_tokens)
        return TorchEngine(of_policy, max_rows=config.engine.max_rows)

    run = train(policy, tmp_path, engine=engine)
    assert made == [1]
    assert bits(run) == bits(train(policy, tmp_path, "native"))
    with pytest.raises(UserError, match=r"was begun by a script that gave it its engine"):
        train(policy, tmp_path, config=tables(steps=4), resume=True)
    with pytest.raises(UserError, match=r"was begun without engine of a script"):
        train(policy, tmp_path, "native", engine=engine, config=tables(steps=4), resume=True)


class Spelling:
    """A first turn is answered, the second one judged."""

    def begin(self, task):
        return {"task": task, "turns": 0}

    def respond(self, state, text):
        state["turns"] += 1
        return "ok" if state["turns"] == 1 else float(len(set(text) & set(state["task"].prompt)) > 1)


def test_an_environment_of_ones_own(policy, tmp_path):
    settings = {"environment": Spelling(), "config": tables(steps=4) | {"engine": {"max_new_tokens": 12}}}
    settings["config"]["dialogue"] = {"turn_tokens": 4}
    whole = train(policy, tmp_path, "whole", **settings)
    assert whole.metrics[-1]["dialogue/turns"] > 8
    assert any(0 < (line["reward/mean"] or 0) < 1 for line in whole.metrics)
    assert "ok" in whole.samples[0]["completion"]
    short = settings["config"] | {"train": tables()["train"]}
    train(policy, tmp_path, "halves", **settings | {"config": short})
    assert bits(train(policy, tmp_path, "halves", **settings, resume=True)) == bits(whole)


def test_a_retriever_of_ones_own(tmp_path):
    tags = ["<search>", "</search>", "<answer>", "</answer>", "<information>", "</information>"]
    names = ["ka", "lo", "me"]
    policy = build_tiny(words=[*tags, *names, "boss", "?"], layers=1, hidden_size=16, max_length=96)
    index = LexicalIndex.in_memory([Document(one, one, f"{one} boss {one}") for one in names])
    asked = []

    class Recording:
        def search(self, queries, count):
            asked.extend(queries)
            return index.search(queries, count)

        def close(self):
            raise AssertionError("it is the script's to close")

    settings = tables(steps=1) | {
        "engine": {"max_new_tokens": 40},
        "search": {"prompt": "{question}", "answer_tokens": 4, "max_turns": 3},
    }
    rows = [{"prompt": f"boss {one} {other} ?", "answer": one} for one in names for other in names]
    run = train(policy, tmp_path, tasks=rows, retriever=Recording(), config=settings)
    assert run.config["retriever"]["kind"] == "given"
    assert run.info["given"] == ["retrievers", "tasks"]
    assert asked
    assert run.metrics[-1]["search/turns"] >= 16
    index.close()


@pytest.mark.parametrize("command", ["train", "eval", "try"])
def test_the_command_does_not_repeat_what_it_cannot_know(policy, tmp_path, command, capsys):
    run = train(policy, tmp_path)
    more = ["--resume", "--out", str(run.directory)] if command == "train" else []
    assert main([command, str(run.directory / "config.toml"), *more]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('rekindle: task.source = "given": a script handed the tasks to rekindle.train')


class Nothing:
    pass


def half(completions, **columns):
    return [float("a" <= text[:1] <= "m") for text in completions]


def of_column(completions, speed):
    return [1.0] * len(completions)


@pytest.mark.parametrize("reward", [half, {"half": (half, 1.0)}, [(half, 1)]], ids=["one", "named", "weighted"])
def test_a_reward_of_ones_own(policy, tmp_path, reward):
    """It pays what exact_match with these answers pays, so the run is the same; and no row needs an answer."""
    rows = [{"prompt": word} for word in WORDS]
    settings = {name: table for name, table in TABLES.items() if name != "task"}
    run = train(policy, tmp_path, tasks=rows, reward=reward, config=settings)
    assert [line["reward/half"] for line in run.metrics[1:]] == [line["reward/mean"] for line in run.metrics[1:]]
    assert bits(run)[1] == bits(train(policy, tmp_path, "verifier"))[1]
    assert run.samples[0]["rewards"].keys() == {"half"}
    assert run.info["given"] == ["rewards", "tasks"]


def test_rewards_are_added_to_those_of_a_file(policy, tmp_path):
    (tmp_path / "own.py").write_text("def one(completions):\n    return [1.0] * len(completions)\n")
    (tmp_path / "my.toml").write_text(
        "[train]\nsteps = 1\ngroups_per_step = 4\ngroup_size = 4\n[engine]\nmax_new_tokens = 1\n[eval]\nprompts = 4\n"
        '[[rewards]]\nfunction = "own.py:one"\nweight = 2.0\n'
    )
    run = train(policy, tmp_path, reward=half, config=tmp_path / "my.toml")
    line = run.metrics[-1]
    assert line["reward/one"] == 1.0
    assert line["reward/mean"] == pytest.approx(2.0 + line["reward/half"])


KILLED = """
import os, signal, sys
from pathlib import Path
import rekindle

def half(completions, **columns):
    return [float("a" <= text[:1] <= "m") for text in completions]

def long(completions, **columns):
    return [len(text) / 10 for text in completions]

class Game:
    def begin(self, task):
        return []

    def respond(self, state, text):
        state.append(text)
        return "go on" if len(state) < 2 else float("a" <= text[:1] <= "m")

class Kill:
    def on_step(self, metrics, samples):
        if metrics["step"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    kind, model, out, killed = sys.argv[1:]
    kinds = {"reward": half, "rewards": [half, (long, 0.5)]}
    own = {"environment": Game()} if kind == "game" else {"reward": kinds[kind]}
    rekindle.train(
        model,
        [{"prompt": word} for word in "abc tree pony lake river fort made clue wind rain gold sand".split()],
        recipe="recycle",
        config={
            "train": {"steps": 5, "groups_per_step": 4, "group_size": 4, "learning_rate": 1e-3},
            "engine": {"max_new_tokens": 8},
            "eval": {"prompts": 4, "every": 2},
            "checkpoint": {"every": 2},
        },
        out=out,
        resume=Path(out).exists(),
        **own,
        callbacks=[Kill()] if killed == "killed" else [],
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reward", "rewards", "game"])
def test_killed_and_resumed_it_is_the_run_of_one_piece(policy, tmp_path, kind):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    policy.save(tmp_path / "model")

    def started(out, killed):
        command = [sys.executable, str(script), kind, str(tmp_path / "model"), str(tmp_path / out), killed]
        return subprocess.run(command, capture_output=True, text=True, check=False).returncode

    assert started("whole", "") == 0
    assert started("halves", "killed") == -9
    assert rekindle.load_run(tmp_path / "halves").ending == ""
    assert started("halves", "") == 0
    assert bits(rekindle.load_run(tmp_path / "halves")) == bits(rekindle.load_run(tmp_path / "whole"))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a model of another kind": ({"model": 5}, "model is a int; give a path, a name on the hub, a Policy, or"),
    "a model without tokenizer": ({"model": "bare"}, "without its tokenizer; give"),
    "no rows": ({"tasks": []}, "tasks is empty; give at least one row"),
    "a row of text": ({"tasks": ["2+3"]}, r"tasks\[0\] is a str, and a row is a mapping or a Task"),
    "a row without answer": ({"tasks": [ROWS[0], {"prompt": "x"}]}, r'tasks\[1\]: .*needs "prompt" and "answer"'),
    "two tasks of one id": ({"tasks": [Task("a", "x", "y"), Task("a", "z", "y")]}, "id 'a' is that of another prompt"),
    "a file of another kind": ({"tasks": "rows.xlsx"}, "has none of the suffixes .jsonl, .json, .csv"),
    "a file that is not there": ({"tasks": "rows.jsonl"}, "rows.jsonl"),
    "a reward of text": ({"reward": "score"}, "reward is a str, and it takes a function"),
    "a reward class": ({"reward": Spelling}, "reward is the class Spelling"),
    "a reward without weight": ({"reward": (len, 0)}, "the weight of a reward is 0, and it has to be a number above 0"),
    "two rewards of one name": ({"reward": [half, half]}, 'two rewards have the name "half"'),
    "a reward of another signature": ({"reward": lambda text: 1.0}, '"given:reward" has the parameters text'),
    "a reward of a column that is not there": ({"reward": of_column}, "speed"),
    "a reward beside an environment": (
        {"reward": half, "environment": Spelling()},
        "the environment gives the reward; leave out reward",
    ),
    "rewards that are no list": ({"config": TABLES | {"rewards": "score"}, "reward": half}, "rewards"),
    "an unknown recipe": ({"recipe": "gropo"}, "recipe 'gropo' is unknown; did you mean grpo"),
    "an unknown key": ({"config": {"train": {"step": 3}}}, r"config: train\.step: unknown key"),
    "a file of settings that is not there": ({"config": "no.toml"}, "no.toml does not exist"),
    "no held-out rows": ({"held_out": []}, "held_out is empty"),
    "too few rows": ({"tasks": ROWS[:3]}, "eval.prompts = 4 would leave none to train on"),
    "an environment class": ({"environment": Spelling}, r"environment is the class Spelling; give an object of it"),
    "an environment without respond": ({"environment": Nothing()}, "is a Nothing without a method respond"),
    "a callback class": ({"callbacks": [Watch]}, "the callback Watch is a class; give an object of it"),
    "a callback without methods": ({"callbacks": [Nothing()]}, "a Nothing is no callback: it has none of the methods"),
    "dialogue keys without environment": ({"config": TABLES | {"dialogue": {"max_turns": 2}}}, "dialogue.max_turns"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_sentence_and_leaves_nothing(policy, tmp_path, given, words):
    model = given.pop("model", policy) if "model" in given else policy
    model = policy.model if model == "bare" else model
    with pytest.raises(UserError, match=words) as caught:
        train(model, tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_metrics_are_those_of_the_file(policy, tmp_path):
    run = train(policy, tmp_path)
    assert run.metrics == read_metrics(run.directory / "metrics.jsonl")
    assert rekindle.load_run(run.directory).ending == "done"
