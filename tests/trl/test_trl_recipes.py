"""Every recipe that TRL can express trains in it: files, conservation of rollouts, numbers in TRL's own log."""

import json

import pytest

import rekindle
from rekindle.integrations.trl import RekindleTrainer
from rekindle.integrations.trl.settings.capabilities import capabilities
from rekindle.types import Fate

ACCEPTED = [name for name, found in capabilities().items() if not found.refusal]
SETTINGS = {
    "gspo": {"steps_per_generation": 8},
    "cispo": {"steps_per_generation": 8},
    "speed": {"per_device_train_batch_size": 28},
}


def odd(completions, **_):
    return [float(sum(one.isdigit() for one in text) % 2) for text in completions]


@pytest.mark.parametrize("recipe", ACCEPTED)
def test_a_recipe_trains_and_every_rollout_has_a_fate(recipe, tiny_model, tokenizer, args, dataset, tmp_path):
    settings = {"per_device_train_batch_size": 8, "num_generations": 8} | SETTINGS.get(recipe, {})
    before = [one.detach().clone() for one in tiny_model.parameters()]
    trainer = RekindleTrainer(tiny_model, odd, args(**settings), dataset, processing_class=tokenizer, recipe=recipe)
    trainer.train()
    assert any((one != other).any() for one, other in zip(before, tiny_model.parameters(), strict=True))
    directory = tmp_path / "out" / "rekindle"
    run = rekindle.load_run(directory)
    last = run.metrics[-1]
    by_fate = {str(fate): sum(row["n"] for row in run.groups(f"fate = '{fate}'")) for fate in Fate}
    assert sum(by_fate.values()) == last["total_rollouts"] > 0
    assert by_fate["trained"] > 0
    assert (last["step"], last["version"]) == (len(run.metrics), sum(line["loss"] is not None for line in run.metrics))
    assert max(line["policy_gap"] or 0 for line in run.metrics) < 1e-4
    assert (directory / "report.html").stat().st_size > 10_000
    assert json.loads((directory / "run.json").read_text())["ending"]["name"] in ("done", "bound")
    logged = {key for line in trainer.state.log_history for key in line}
    assert {"reward", "frac_reward_zero_std"} <= logged
    assert "rekindle/groups/trained" in logged or "steps_per_generation" in settings
