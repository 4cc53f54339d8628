"""The one-file version and the library must not drift apart."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from rekindle.assembly import open_run
from rekindle.training.trainer import Trainer
from rekindle.warm_starts.stage import start_model, start_workbench

PATH = Path(__file__).parents[1] / "examples" / "minimal_recycling.py"


class Recorder:
    """Stands between the loop and its trainer, and keeps what passes."""

    def __init__(self, trainer):
        self._trainer, self.batches = trainer, []

    def update(self, samples, version, scale, spent):
        stats = self._trainer.update(samples, version, scale, spent)
        assert scale == 1.0, "the one-file version knows no batch-scaled step"
        self.batches.append((samples, stats))
        return stats

    def __getattr__(self, name):
        return getattr(self._trainer, name)


@pytest.fixture
def minimal():
    spec = importlib.util.spec_from_file_location("minimal_recycling", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Silent:
    def step(self, metrics):
        pass

    def warn(self, text):
        pass


@pytest.mark.parametrize(
    ("seed", "prompts", "resets"), [pytest.param(0, 48, False, marks=pytest.mark.slow), (3, 10, True)]
)
def test_same_batches_advantages_and_losses_as_the_library(minimal, quick_config, tmp_path, seed, prompts, resets):
    steps, groups = 8, 4
    config = quick_config(
        "recycle", f"train.steps={steps}", f"train.groups_per_step={groups}", f"task.pool_size={prompts}", seed=seed
    )
    with open_run(
        config,
        tmp_path / "run",
        start=lambda: start_model(config, print),
        resume=False,
        observer=lambda *_: Silent(),
        say=print,
        adapt=lambda parts: replace(parts, trainer=cast(Trainer, Recorder(parts.trainer))),
    ) as loop:
        recorder, pool = cast(Recorder, loop.parts.trainer), loop.parts.scheduler.pool
        loop.run()
    with start_workbench(config) as bench:
        tasks, directory = bench.tasks.pool, bench.directory
    model, tokenizer = AutoModelForCausalLM.from_pretrained(directory).eval(), AutoTokenizer.from_pretrained(directory)
    records = list(minimal.recycle(model, tokenizer, tasks, steps, seed=seed, groups=groups))

    ids = {tuple(tokenizer(task.prompt)["input_ids"]): task.id for task in tasks}
    trained = [record for record in records if record["batch"]]
    assert len(recorder.batches) == len(trained) >= 4
    for (samples, stats), record in zip(recorder.batches, trained, strict=True):
        assert [ids[_prompt(sample)] for sample in samples[:: minimal.K]] == record["batch"]
        ours = [max(sample.advantages, key=abs) for sample in samples]
        assert ours == [pytest.approx(a, abs=1e-6) for group in record["advantages"] for a in group]
        assert stats.loss == pytest.approx(record["loss"], abs=1e-5)
    assert records[-1]["live"] == pool.live
    assert (pool.resets > 0) is resets


def _prompt(sample):
    return tuple(token for token, sampled in zip(sample.token_ids, sample.loss_mask, strict=True) if not sampled)


def test_it_is_short():
    assert len(PATH.read_text().splitlines()) <= 300
