"""Optimizer steps inside TRL whose gradient is not finite."""

import math

import pytest
import torch
from safetensors.torch import load_file
from test_trl_resume import make, metrics

from rekindle.notices import RekindleWarning
from rekindle.observability.runs import load_run


def poisoned(trainer, *steps):
    """The same trainer, whose loss is not a number in these micro-steps."""
    compute = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: compute(model, inputs) * (math.nan if trainer._step in steps else 1.0)
    return trainer


def test_such_a_step_changes_no_weight_is_counted_and_kept(tokenizer, tmp_path):
    out = tmp_path / "out"
    trainer = poisoned(make(tokenizer, out, max_steps=4, save_steps=1), 3)
    with pytest.warns(RekindleWarning, match=r"a gradient is not finite; the optimizer step is skipped, and its micro"):
        trainer.train()
    first, second = (load_file(out / f"checkpoint-{step}" / "model.safetensors") for step in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(one.isfinite().all() for one in load_file(out / "checkpoint-4" / "model.safetensors").values())
    assert [line["optimizer/skipped"] for line in metrics(out)] == [1, 0]
    (kept,) = (out / "rekindle" / "skipped").iterdir()
    assert (kept / "model" / "model.safetensors").is_file()
    assert "0.completion_ids" in load_file(kept / "batches.safetensors")


def test_too_many_of_them_end_the_run(tokenizer, tmp_path):
    out = tmp_path / "out"
    recipe = {"recipe": "recycle", "optimizer": {"max_skipped_steps": 2}}
    trainer = poisoned(make(tokenizer, out, recipe=recipe, max_steps=9, save_steps=1), *range(99))
    with pytest.warns(RekindleWarning, match=r"the run is over: 2 optimizer steps in a row were skipped"):
        trainer.train()
    run = load_run(out)
    assert run.ending == "bound"
    assert all(one.isfinite().all() for one in trainer.model.parameters())
