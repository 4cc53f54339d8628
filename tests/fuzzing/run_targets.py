"""Targets: files of runs, checkpoints, models and sweeps."""

import contextlib
import json
import sqlite3
import warnings
from pathlib import Path

import numpy as np
import torch
from mutation import Inputs
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from synthetic_run import write_run
from target import Attempt, target

from embedded import EXAMPLE, QUICK
from rekindle.comparison.comparing import compare
from rekindle.comparison.html import html_page
from rekindle.comparison.markdown import markdown_text
from rekindle.config.reading import read_toml, validate
from rekindle.evaluation.journal import JournalKind, open_journal
from rekindle.integrations.state_folder import read_state, write_state
from rekindle.methods import build_scheduler
from rekindle.models.directory import check_adapter, check_model, saved_parameters
from rekindle.models.gguf_files import check_gguf
from rekindle.observability.report import write_report
from rekindle.observability.runs import load_run
from rekindle.planning.sources import load_rates
from rekindle.recipes import resolve
from rekindle.records.run_directory import given_parts, kept_threads, model_commit
from rekindle.records.run_tasks import keep_tasks, same_tasks
from rekindle.records.state_files import UNREADABLE
from rekindle.scheduling.ledger import Ledger
from rekindle.sweeps.manifest import check_directory
from rekindle.training.checkpoint import Checkpoints
from rekindle.types import Task, UserError

FILES = ("metrics.jsonl", "run.json", "config.toml", "ledger.sqlite", "samples.jsonl", "warnings.jsonl", "tasks.jsonl")
SAMPLE = {
    "step": 1, "task_id": "spell_backward/0", "prompt": "a", "completion": "b", "reward": 1.0, "rewards": {"x": 1.0},
    "truncated": False, "set": "train", "verdict": "",
}  # fmt: skip
WARNING = {"step": 1, "text": "w", "source": "rekindle", "count": 1, "time": "2026-01-01T00:00:00+00:00"}
PROGRAMS = (
    "create view {name} as with recursive c(x) as (select 1 union all select x + 1 from c) select x from c",
    "alter table groups rename to g; create view groups as with recursive c(x) as "
    "(select 1 union all select x + 1 from c) select g.* from g, c",
    "create trigger {name} after insert on groups begin delete from groups; end",
    "create index {name} on groups (abs(n) + length(task_id))",
    "alter table groups add column {name} as (n * 2) virtual",
    "create virtual table {name} using fts5(x)",
    "update groups set n = 'x', task_id = zeroblob(100000) where request_id % 3 = 0",
    "update groups set successes = 1e308, fate = x'ff00' where request_id = 2",
    "update groups set step = -9223372036854775808, seconds = 9e999",
    "pragma user_version = 7",
    "drop table groups",
)
"""What no ledger has in it."""


def small_run(directory: Path, **settings: object) -> Path:
    """A run directory with every file that a report reads."""
    run = write_run(directory, steps=6, pool=32, batch=4, every=2, **settings)  # type: ignore[arg-type]
    ledger = sqlite3.connect(run / "ledger.sqlite")
    ledger.execute("pragma journal_mode = delete")
    ledger.close()
    (run / "samples.jsonl").write_text("".join(json.dumps(SAMPLE | {"step": step}) + "\n" for step in range(4)))
    (run / "warnings.jsonl").write_text(json.dumps(WARNING) + "\n")
    tasks = [Task(f"spell_backward/{number}", f"what is {number}?", str(number)) for number in range(4)]
    keep_tasks(run, tasks[:2], tasks[2:])
    return run


class DamagedRun:
    """A run directory of which one file is damaged at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = small_run(directory)
        self._whole = {name: (directory / name).read_bytes() for name in FILES}

    def damage(self, inputs: Inputs, names: tuple[str, ...] = FILES) -> None:
        for name, content in self._whole.items():
            (self.directory / name).write_bytes(content)
        for extra in self.directory.glob("ledger.sqlite-*"):
            extra.unlink()
        name = inputs.choice(names)
        if name == "ledger.sqlite" and inputs.random() < 0.4:
            self._program(inputs)
        elif name.endswith(".jsonl") and inputs.random() < 0.5:
            (self.directory / name).write_bytes(inputs.damaged_line(self._whole[name]))
        elif name == "run.json" and inputs.random() < 0.5:
            (self.directory / name).write_bytes(inputs.json(inputs.changed(json.loads(self._whole[name]))))
        elif inputs.random() < 0.1:
            (self.directory / name).unlink()
        else:
            (self.directory / name).write_bytes(inputs.mutated(self._whole[name]))

    def _program(self, inputs: Inputs) -> None:
        ledger = sqlite3.connect(self.directory / "ledger.sqlite")
        with contextlib.closing(ledger), contextlib.suppress(sqlite3.Error):
            ledger.executescript(inputs.choice(PROGRAMS).format(name=inputs.choice(("x", "groups_by_step", "z"))))


@target()
def reports(folder: Path) -> Attempt:
    run = DamagedRun(folder / "run")

    def attempt(inputs: Inputs) -> None:
        run.damage(inputs)
        assert "<script>alert" not in write_report(run.directory).read_text(encoding="utf-8")

    return attempt


@target()
def run_tables(folder: Path) -> Attempt:
    """``load_run`` and its tables."""
    run = DamagedRun(folder / "run")

    def attempt(inputs: Inputs) -> None:
        run.damage(inputs)
        found = load_run(run.directory)
        sum(one.rollouts for one in found.fates().values())
        assert len(found.ledger) >= 0
        list(found.sample_lines())
        found.warnings()

    return attempt


@target()
def ledgers(folder: Path) -> Attempt:
    """A ledger that a resumed run writes on."""
    run = DamagedRun(folder / "run")

    def attempt(inputs: Inputs) -> None:
        run.damage(inputs, ("ledger.sqlite",))
        ledger = Ledger(run.directory / "ledger.sqlite")
        try:
            ledger.truncate_after(4)
            ledger.check(inputs.randrange(100))
        finally:
            ledger.close()

    return attempt


@target()
def comparisons(folder: Path) -> Attempt:
    run, other = DamagedRun(folder / "a"), small_run(folder / "b", recipe="grpo", seed=1)

    def attempt(inputs: Inputs) -> None:
        run.damage(inputs)
        found = compare([run.directory, other])
        (markdown_text if inputs.random() < 0.7 else html_page)(found)

    return attempt


@target()
def rates_of_runs(folder: Path) -> Attempt:
    """What a plan reads of a run."""
    run = DamagedRun(folder / "run")

    def attempt(inputs: Inputs) -> None:
        run.damage(inputs, ("metrics.jsonl", "config.toml", "ledger.sqlite", "run.json"))
        load_rates(run.directory)

    return attempt


@target()
def resumed_directories(folder: Path) -> Attempt:
    """Small files that a resumed run reads again."""
    run = DamagedRun(folder / "run")
    tasks = [Task(f"spell_backward/{number}", f"what is {number}?", str(number)) for number in range(4)]

    def attempt(inputs: Inputs) -> None:
        run.damage(inputs, ("config.toml", "run.json", "tasks.jsonl"))
        model_commit(run.directory)
        given_parts(run.directory)
        kept_threads(run.directory)
        with warnings.catch_warnings(action="ignore"):
            same_tasks(run.directory, tasks[:2], tasks[2:])
        validate(read_toml(run.directory / "config.toml"), "config.toml")

    return attempt


@target()
def sweeps(folder: Path) -> Attempt:
    settings = {"train": {"steps": 3, "seed": 0}, "recipe": "grpo"}
    whole = {"version": 1, "settings": settings, "runs": [{"name": "a", "recipe": "grpo", "state": "done", "step": 3}]}
    place = folder / "sweep.json"

    def attempt(inputs: Inputs) -> None:
        changed = inputs.json(inputs.changed(whole))
        place.write_bytes(inputs.mutated(json.dumps(whole).encode()) if inputs.random() < 0.5 else changed)
        check_directory(folder, settings, ["a"], resume=True)

    return attempt


@target()
def checkpoints(folder: Path) -> Attempt:
    """The files of a checkpoint, and the state of its scheduler."""
    config, ids = resolve(EXAMPLE, "recycle", list(QUICK)), tuple(map(str, range(32)))
    state = build_scheduler(config, ids, None).state_dict()
    place = folder / "checkpoints" / "step-1"
    (place / "model").mkdir(parents=True)
    document = {"format": 1, "trainer": {"step": 1}, "state": {}}
    arrays = {"history.counts": np.arange(8), "pool.order": np.arange(4)}
    save_tensors({"a": torch.zeros(3)}, place / "optimizer.safetensors")
    optimizer = (place / "optimizer.safetensors").read_bytes()
    save_arrays(arrays, place / "scheduler.safetensors")
    scheduler = (place / "scheduler.safetensors").read_bytes()

    def attempt(inputs: Inputs) -> None:
        which = inputs.randrange(4)
        text = json.dumps(document).encode()
        (place / "state.json").write_bytes(inputs.mutated(text) if which == 0 else text)
        (place / "optimizer.safetensors").write_bytes(inputs.mutated(optimizer) if which == 1 else optimizer)
        (place / "scheduler.safetensors").write_bytes(inputs.mutated(scheduler) if which == 2 else scheduler)
        if which == 3:
            load_scheduler(inputs)
        else:
            Checkpoints(folder / "checkpoints", 1).load(1)

    def load_scheduler(inputs: Inputs) -> None:
        try:
            build_scheduler(config, ids, None).load_state_dict(inputs.changed(state))
        except UNREADABLE as error:
            raise UserError("training names the checkpoint") from error

    return attempt


@target()
def saved_states(folder: Path) -> Attempt:
    """The state that an integration keeps."""
    write_state(folder / "state", {"step": 3, "history": {"counts": np.arange(8)}, "name": "x"})
    whole = {path.name: path.read_bytes() for path in (folder / "state").iterdir()}

    def attempt(inputs: Inputs) -> None:
        damaged = inputs.choice(list(whole))
        for name, content in whole.items():
            (folder / "state" / name).write_bytes(inputs.mutated(content) if name == damaged else content)
        read_state(folder / "state")

    return attempt


@target()
def models(folder: Path) -> Attempt:
    """The files of a model's directory, as far as they are read before the model is loaded."""
    place = folder / "model"
    place.mkdir()
    save_tensors({"w": torch.zeros(4, 2)}, place / "model.safetensors")
    weights = (place / "model.safetensors").read_bytes()
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 2, "tie_word_embeddings": False}
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "x", "r": 2, "target_modules": ["q"]}
    index = {"weight_map": {"w": "model.safetensors"}}
    (place / "tokenizer.json").write_text("{}")

    def attempt(inputs: Inputs) -> None:
        which = inputs.randrange(4)
        files = {"config.json": config, "adapter_config.json": adapter, "model.safetensors.index.json": index}
        for number, (name, value) in enumerate(files.items()):
            content = json.dumps(value).encode()
            if number == which:
                content = inputs.mutated(content) if inputs.random() < 0.5 else inputs.json(inputs.changed(value))
            (place / name).write_bytes(content)
        (place / "model.safetensors").write_bytes(inputs.mutated(weights) if which == 3 else weights)
        saved_parameters(place)
        for check in (check_model, check_adapter):
            check(place)

    return attempt


@target()
def gguf_files(folder: Path) -> Attempt:
    from gguf import GGUFWriter

    place = folder / "model.gguf"
    writer = GGUFWriter(place, "llama")
    writer.add_context_length(8)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("token_embd.weight", np.zeros((2, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    good = place.read_bytes()

    def attempt(inputs: Inputs) -> None:
        place.write_bytes(inputs.mutated(good))
        check_gguf(place)

    return attempt


@target()
def journals(folder: Path) -> Attempt:
    """The journal of an evaluation or a profile that goes on."""
    kind = JournalKind("rekindle.fuzz", 1, "journal", "writing", "delete it", UserError)
    settings = {"samples": 4, "model": "x"}
    place = folder / "journal.jsonl"
    restored: list[int] = []

    def restore(value: dict, _: int) -> None:
        restored.append(int(value["row"]))

    with open_journal(place, kind, settings, restore) as journal:
        for row in range(4):
            journal.add({"row": row, "tokens": 3})
        journal.sync()
    good = place.read_bytes()

    def attempt(inputs: Inputs) -> None:
        place.write_bytes(inputs.mutated(good))
        restored.clear()
        with open_journal(place, kind, settings, restore):
            pass

    return attempt
