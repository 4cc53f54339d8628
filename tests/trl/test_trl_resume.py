"""What a resumed run inside TRL refuses, in one sentence each, and the habits of checkpoints that it keeps up with."""

import ast
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from ranks import odd
from transformers import TrainerCallback
from trl import GRPOConfig

import rekindle
from rekindle.config import Config, read_toml, validate
from rekindle.config.keys import keys_of
from rekindle.integrations.trl import RekindleTrainer
from rekindle.integrations.trl.settings.tables import allowed
from rekindle.integrations.trl.state import newest_whole
from rekindle.integrations.trl.words import said
from rekindle.observability.report import write_report
from rekindle.types import UserError
from tiny_qwen import SETTINGS, made_model

ROWS = [{"id": str(number), "prompt": f"{number}+{number % 7}=", "answer": str(number)} for number in range(24)]


@pytest.fixture(scope="module")
def trained(tokenizer, tmp_path_factory):
    """A run of 4 steps with checkpoints after 2, 3 (in the middle of a generation) and 4."""
    out = tmp_path_factory.mktemp("trained") / "out"
    make(tokenizer, out, max_steps=4, save_steps=1).train()
    shutil.rmtree(out / "checkpoint-1")
    return out


def make(tokenizer, out, recipe="recycle", rows=ROWS, callbacks=(), reward=odd, evaluated=None, **changes):
    saved = {"save_strategy": "steps", "save_steps": 2}
    settings = SETTINGS | saved | {"output_dir": str(out), "steps_per_generation": 4, "max_steps": 4}
    return RekindleTrainer(
        made_model(tokenizer),
        reward,
        GRPOConfig(**settings | changes),
        Dataset.from_list(rows),
        eval_dataset=evaluated,
        processing_class=tokenizer,
        recipe=recipe,
        callbacks=list(callbacks),
    )


@pytest.fixture
def copied(trained, tmp_path):
    """The trained run as one that was killed after step 3."""
    shutil.copytree(trained, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "checkpoint-4")
    return tmp_path / "out"


def refusal(trainer, resume=True):
    with pytest.raises(UserError) as caught:
        trainer.train(resume_from_checkpoint=resume)
    text = str(caught.value)
    assert "\n" not in text
    assert text == said(text)
    assert not forbidden(text), text
    return text


# -- what was changed -------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "recipe": ({"recipe": "soft_recycle"}, "differs from"),
    "table": ({"recipe": {"recipe": "recycle", "pool": {"reset_below": 0.4}}}, "pool.reset_below = 0.4 differs"),
    "num_generations": ({"num_generations": 8}, "generation_batch_size / num_generations = 2 differs from 4"),
    "batch": ({"per_device_train_batch_size": 8}, "generation_batch_size / num_generations = 8 differs from 4"),
    "learning_rate": ({"learning_rate": 2e-3}, "learning_rate = 0.002 differs from 0.001"),
    "length": ({"max_completion_length": 9}, "max_completion_length = 9 differs from 8"),
    "seed": ({"seed": 4}, "seed = 4 differs from 3"),
    "added rows": ({"rows": [*ROWS, {"id": "new", "prompt": "1+1=", "answer": "2"}]}, "1 added ('new')"),
    "removed rows": ({"rows": ROWS[1:]}, "1 removed ('0')"),
    "changed rows": ({"rows": [{**ROWS[0], "prompt": "9+9="}, *ROWS[1:]]}, "1 with other prompts ('0')"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_setting_or_dataset_is_refused_by_name(name, tokenizer, copied):
    changes, words = CHANGES[name]
    before = (copied / "rekindle" / "metrics.jsonl").read_text()
    assert words in refusal(make(tokenizer, copied, **changes))
    assert (copied / "rekindle" / "metrics.jsonl").read_text() == before


def test_rows_in_another_order_keep_the_order_of_the_run(tokenizer, copied, trained):
    with pytest.warns(rekindle.notices.RekindleWarning, match="in another order than when the run began"):
        make(tokenizer, copied, rows=ROWS[::-1]).train(resume_from_checkpoint=True)
    assert metrics(copied) == metrics(trained)


def test_more_steps_are_no_change(tokenizer, copied):
    make(tokenizer, copied, max_steps=6).train(resume_from_checkpoint=True)
    assert [line["step"] for line in metrics(copied)] == [1, 2, 3]


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 8
    path.write_bytes(bytes(data))


def emptied(path):
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM groups WHERE request_id < 3")


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "torn JSON": ("checkpoint-3/rekindle/state.json", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "changed JSON": (
        "checkpoint-3/rekindle/state.json",
        lambda path: path.write_text(path.read_text().replace('"version": 1', '"version": 2', 1)),
    ),
    "another format": (
        "checkpoint-3/rekindle/state.json",
        lambda path: path.write_text(path.read_text().replace('"format": 2', '"format": 7', 1)),
    ),
    "no JSON": ("checkpoint-3/rekindle/state.json", lambda path: path.write_bytes(b"\xff\x00")),
    "no object": ("checkpoint-3/rekindle/state.json", lambda path: path.write_text("[]")),
    "missing arrays": ("checkpoint-3/rekindle/arrays.safetensors", Path.unlink),
    "flipped arrays": ("checkpoint-3/rekindle/arrays.safetensors", flip),
    "cut arrays": ("checkpoint-3/rekindle/arrays.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-4])),
    "missing batches": ("checkpoint-3/rekindle/batches-0.safetensors", Path.unlink),
    "flipped batches": ("checkpoint-3/rekindle/batches-0.safetensors", flip),
    "missing settings": ("rekindle/config.toml", Path.unlink),
    "damaged settings": ("rekindle/config.toml", lambda path: path.write_text("= 3")),
    "damaged tasks": ("rekindle/tasks.jsonl", lambda path: path.write_text("{")),
    "missing folder": ("rekindle", shutil.rmtree),
    "damaged ledger": ("rekindle/ledger.sqlite", lambda path: path.write_bytes(b"x" * 5000)),
    "another ledger": ("rekindle/ledger.sqlite", emptied),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_a_sentence(name, tokenizer, copied):
    path, damage = DAMAGES[name]
    damage(copied / path)
    shutil.rmtree(copied / "checkpoint-2")
    (copied / "checkpoint-3" / "SHA256SUMS").unlink()  # as of earlier versions
    text = refusal(make(tokenizer, copied))
    assert str(copied) in text


FILES = ("model.safetensors", "optimizer.pt", "rng_state.pth", "rekindle/state.json", "rekindle/arrays.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_the_checkpoint_before_a_damaged_one_is_used_and_the_file_is_named(name, tokenizer, copied, trained):
    flip(copied / "checkpoint-3" / name)
    with pytest.warns(rekindle.notices.RekindleWarning, match=rf"checkpoint-3 is damaged \({name} has other contents"):
        make(tokenizer, copied, save_steps=1).train(resume_from_checkpoint=True)
    assert metrics(copied) == metrics(trained)
    flip(copied / "checkpoint-4" / "config.json")
    longer = make(tokenizer, copied, max_steps=6)
    with pytest.raises(UserError, match=r"checkpoint-4 is damaged \(config.json has other contents"):
        longer.train(resume_from_checkpoint=str(copied / "checkpoint-4"))


def test_without_a_checkpoint_there_is_nothing_to_resume(tokenizer, tmp_path):
    text = refusal(make(tokenizer, tmp_path / "out"))
    assert text.endswith("has no whole checkpoint to resume from; leave resume_from_checkpoint out to begin the run")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "there is no checkpoint"),
        (lambda path: (path / "trainer_state.json").unlink(), "was not written to its end"),
        (lambda path: shutil.rmtree(path / "rekindle"), "has no state of rekindle"),
    ],
)
def test_a_named_checkpoint_that_is_not_whole_is_refused(spoil, words, tokenizer, copied):
    spoil(copied / "checkpoint-3")
    assert words in refusal(make(tokenizer, copied), str(copied / "checkpoint-3"))


def test_files_of_an_earlier_run_are_not_replaced(tokenizer, copied):
    assert "go on with its run (resume_from_checkpoint=True" in refusal(make(tokenizer, copied), None)


def test_a_second_process_is_refused(tokenizer, tmp_path):
    class Second(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.text = refusal(make(tokenizer, tmp_path / "out"), None)

    second = Second()
    make(tokenizer, tmp_path / "out", callbacks=[second], max_steps=1).train()
    assert second.text.startswith("another process is training in ")
    assert second.text.endswith("choose another output_dir")


def test_a_directory_that_cannot_be_written_is_refused(tokenizer, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rekindle").write_text("a file")
    assert "cannot be written" in refusal(make(tokenizer, tmp_path / "out"), None)


# -- several courses in one directory ---------------------------------------------------------------------------------


class Stop(TrainerCallback):
    """Ctrl-C at the end of a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            self.step = None
            raise KeyboardInterrupt


def metrics(out):
    return [without_clock(line) for line in rekindle.load_run(out / "rekindle").metrics]


def without_clock(line):
    return {key: value for key, value in line.items() if "seconds" not in key and not key.startswith("time/")}


def test_an_interrupted_run_goes_on_in_the_same_and_in_another_process(tokenizer, tmp_path, trained):
    trainer = make(tokenizer, tmp_path / "out", callbacks=[Stop(3)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert ending(tmp_path / "out") == "interrupted"
    assert sum(row["n"] for row in rekindle.load_run(tmp_path / "out" / "rekindle").groups()) > 0
    trainer.train(resume_from_checkpoint=True)
    assert metrics(tmp_path / "out") == metrics(trained)
    assert ending(tmp_path / "out") == "done"


def ending(out):
    return json.loads((out / "rekindle" / "run.json").read_text())["ending"]["name"]


def test_a_run_without_checkpoints_begins_again(tokenizer, tmp_path):
    trainer = make(tokenizer, tmp_path / "out", max_steps=2, save_strategy="no")
    trainer.train()
    with pytest.warns(rekindle.notices.RekindleWarning, match="files of a run without a checkpoint; they are replaced"):
        trainer.train()
    assert [line["step"] for line in metrics(tmp_path / "out")] == [1]
    run = rekindle.load_run(tmp_path / "out" / "rekindle")
    assert sum(row["n"] for row in run.groups()) == run.metrics[-1]["total_rollouts"]


def test_a_run_that_goes_on_from_an_earlier_checkpoint_leaves_the_later_ones(tokenizer, copied, trained):
    shutil.copytree(trained / "checkpoint-4", copied / "checkpoint-4")
    with pytest.raises(KeyboardInterrupt), pytest.warns(rekindle.notices.RekindleWarning, match="it cannot go on from"):
        make(tokenizer, copied, callbacks=[Stop(3)]).train(str(copied / "checkpoint-2"))
    assert newest_whole(copied) == copied / "checkpoint-2"
    make(tokenizer, copied).train(resume_from_checkpoint=True)
    assert metrics(copied) == metrics(trained)
    assert newest_whole(copied) == copied / "checkpoint-4"


def test_a_finished_run_makes_no_further_step(tokenizer, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "out")
    trainer = make(tokenizer, tmp_path / "out")
    assert trainer.train(resume_from_checkpoint=True).global_step == 4
    assert metrics(tmp_path / "out") == metrics(trained)
    from safetensors.torch import load_file

    kept = load_file(trained / "checkpoint-4" / "model.safetensors")
    state = trainer.model.state_dict()
    assert all(state[name].equal(value) for name, value in kept.items())


# -- TRL's habits of saving -------------------------------------------------------------------------------------------


def test_checkpoints_of_models_alone_are_not_resumed_from(tokenizer, tmp_path):
    make(tokenizer, tmp_path / "out", save_only_model=True, max_steps=2).train()
    assert not (tmp_path / "out" / "checkpoint-2" / "rekindle").exists()
    with pytest.warns(rekindle.notices.RekindleWarning, match=r"has no rekindle/state\.json"):
        refusal(make(tokenizer, tmp_path / "out", save_only_model=True))
    text = refusal(make(tokenizer, tmp_path / "out"), str(tmp_path / "out" / "checkpoint-2"))
    assert "TRL's save_only_model keeps none" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"save_strategy": "epoch", "num_train_epochs": 2, "max_steps": -1, "steps_per_generation": 2},
        {"save_strategy": "best", "metric_for_best_model": "reward", "eval_strategy": "steps", "eval_steps": 2},
        {
            "save_strategy": "steps",
            "save_steps": 2,
            "load_best_model_at_end": True,
            "metric_for_best_model": "reward",
            "eval_strategy": "steps",
            "eval_steps": 2,
            "save_total_limit": 1,
        },
    ],
    ids=["epoch", "best", "load_best_model_at_end"],
)
def test_ways_of_saving_are_resumed_from(changes, tokenizer, tmp_path):
    rows = ROWS[:12]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    evaluated = Dataset.from_list(ROWS[12:14])
    make(tokenizer, whole, rows=rows, evaluated=evaluated, **changes).train()
    last = make(
        tokenizer,
        killed,
        rows=rows,
        evaluated=evaluated,
        callbacks=[Stop(8 if "num_train_epochs" in changes else 3)],
        **changes,
    )
    with pytest.raises(KeyboardInterrupt):
        last.train()
    assert newest_whole(killed) is not None
    make(tokenizer, killed, rows=rows, evaluated=evaluated, **changes).train(resume_from_checkpoint=True)
    assert metrics(whole) == metrics(killed)


# -- run files --------------------------------------------------------------------------------------------------------


def test_run_files_are_those_of_a_run(tokenizer, tmp_path):
    evaluated = Dataset.from_list(ROWS[:2])
    make(
        tokenizer, tmp_path / "sums", evaluated=evaluated, eval_strategy="steps", eval_steps=2, eval_on_start=True
    ).train()
    directory = tmp_path / "sums" / "rekindle"
    run = rekindle.load_run(directory)
    assert validate(read_toml(directory / "config.toml"), "config.toml").recipe == "recycle"
    assert [line["step"] for line in run.metrics if line.get("eval/accuracy") is not None] == [0, 1, 2]
    assert run.info["packages"].keys() >= {"trl", "transformers", "torch"}
    assert (run.info["held_out"], run.info["pool"], run.info["trainer"].split()[0]) == (2, 24, "trl")
    assert run.info["command"]
    assert json.loads((directory / "null_control.json").read_text())["recycled_share"] >= 0
    report = write_report(directory).read_text()
    assert "Run sums" in report
    assert "recycle on given prompts" in report
    assert "with 2 prompts" in report
    assert not forbidden(report.partition("Configuration, complete")[0].partition("</style>")[2].replace("<!--", ""))


# -- words ------------------------------------------------------------------------------------------------------------

SOURCES = (
    "records/health.py",
    "records/endings.py",
    "records/audit_watch.py",
    "records/run_directory.py",
    "records/run_tasks.py",
    "scheduling/refills.py",
    "scheduling/scheduler.py",
    "scheduling/ledger.py",
    "observability/step_log.py",
    "observability/metrics.py",
    "evaluation/profile_file.py",
    "evaluation/profiler.py",
    "evaluation/profile_journal.py",
    "evaluation/journal.py",
)
NATIVE = ("plays itself", "self_play", "search.", "proposals.jsonl")
"""Messages of runs that do not exist inside TRL."""


def texts(path):
    """All texts of a file but docstrings; what is put in is ``{}``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def forbidden(text):
    keys = (
        "engine.",
        "train.learning_rate",
        "optimizer.",
        "task.verifier",
        "task.pool",
        "eval.",
        "checkpoint.",
        "model.",
    )
    words = ("--", *keys, "model.", "`rekindle try`", "`rekindle profile`")
    for ours in ("eval.jsonl", "model.safetensors", "optimizer.max_skipped_steps"):
        text = text.replace(ours, "")
    return [word for word in words if word in text]


@pytest.mark.parametrize("source", SOURCES)
def test_messages_name_nothing_that_a_script_cannot_set(source):
    package = Path(rekindle.__file__).parent
    found = [text for text in texts(package / source) if " " in text and not any(word in text for word in NATIVE)]
    assert found
    assert not {text: forbidden(said(text)) for text in found if forbidden(said(text))}


@pytest.mark.parametrize("path", [key.path for key in keys_of(Config) if not allowed(key.path)])
def test_a_key_that_a_recipe_cannot_set_is_said_by_an_argument(path):
    text = said(f"{path} = 3 differs from 4")
    assert path not in text or not path.startswith(("train", "engine", "optimizer", "model", "eval", "checkpoint"))


def test_keys_of_recipes_keep_their_names():
    for path in (key.path for key in keys_of(Config) if allowed(key.path)):
        if path not in ("train.group_size", "train.temperature"):
            assert said(f"raise {path}.") == f"raise {path}."
    assert said("look at samples.jsonl and /a/train.steps/b") == "look at samples.jsonl and /a/train.steps/b"
