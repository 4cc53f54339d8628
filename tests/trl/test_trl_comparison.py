"""Runs inside TRL with evaluation, compared: with one another, and with a run of another trainer."""

import json
import shutil

import pytest
from ranks import odd

from rekindle import compare, load_run
from rekindle.comparison.notes import notes
from rekindle.integrations.trl import RekindleTrainer
from tiny_qwen import made_model


@pytest.fixture
def trained(tokenizer, args, dataset, tmp_path):
    """A function that makes a run of a recipe and a seed, evaluated before the first step and after every second."""

    def train(recipe, seed, held_out=8):
        evaluated = {"eval_strategy": "steps", "eval_steps": 2, "eval_on_start": True, "num_generations_eval": 2}
        out = str(tmp_path / f"{recipe}-{seed}")
        RekindleTrainer(
            made_model(tokenizer),
            odd,
            args(output_dir=out, seed=seed, max_steps=4, per_device_eval_batch_size=8, **evaluated),
            dataset.select(range(16)),
            eval_dataset=dataset.select(range(16, 16 + held_out)),
            processing_class=tokenizer,
            recipe=recipe,
        ).train()
        return tmp_path / f"{recipe}-{seed}" / "rekindle"

    return train


def test_runs_inside_trl_are_compared(trained, tmp_path):
    places = [trained(recipe, seed) for recipe in ("grpo", "recycle") for seed in (3, 4)]
    comparison = compare(*places)
    assert [(arm.name, list(arm.runs)) for arm in comparison.arms] == [("grpo", [3, 4]), ("recycle", [3, 4])]
    assert comparison.metric == "eval/accuracy"
    for run in comparison.runs:
        found = load_run(run.directory)
        evaluated = [line for line in found.metrics if "eval/accuracy" in line]
        assert [line["step"] for line in evaluated] == [0, 2, 4]
        assert all(line["eval/reward"] == pytest.approx(line["eval/accuracy"]) for line in evaluated)
        assert run.spent["rollouts"] == sum(row["n"] for row in found.ledger)
        assert run.spent["tokens"] == sum(row["generated_tokens"] for row in found.ledger)
        assert (run.prompts, run.samples, run.measuring["eval.prompts"]) == (8, 2, 8)
    assert not [note for note in notes(comparison) if "held-out" in note or "evaluated differently" in note]
    _pretend_to_be_verl(places[0], tmp_path / "other")
    mixed = compare(*places, tmp_path / "other", baseline="grpo in trl")
    assert [arm.name for arm in mixed.arms] == ["grpo in trl", "recycle in trl", "grpo in verl"]
    assert "The runs differ in trainer (5 runs); their seconds are not comparable." in notes(mixed)


def _pretend_to_be_verl(run, other):
    shutil.copytree(run, other)
    info = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(info | {"trainer": "verl 0.9.1"}))


def test_other_held_out_prompts_are_refused(trained):
    one, other = trained("grpo", 3), trained("recycle", 3, held_out=7)
    with pytest.raises(ValueError, match="have different held-out prompts"):
        compare(one, other)
