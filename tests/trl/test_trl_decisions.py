"""The same decisions as the native trainer: same prompts, sizes, temperatures, outcomes and fates, group by group."""

import hashlib
import sqlite3
from collections import Counter

import pytest
from datasets import Dataset

import rekindle
from rekindle.integrations.trl import RekindleTrainer

COLUMNS = (
    "request_id, step, version, task_id, n, temperature, successes, outcome, previous_outcome, first_outcome, fate"
)
BATCH = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_generations": 4}


class Fake:
    """Rewards by prompt and number of its sample: what is written does not count, so any engine gets the same."""

    __name__ = "fake"

    def __init__(self):
        self.asked = Counter()

    def __call__(self, prompts, completions, **_):
        return [self.reward(prompt) for prompt in prompts]

    def reward(self, prompt):
        self.asked[prompt] += 1
        number = self.asked[prompt]
        level, dice = (hashlib.sha256(text.encode()).digest()[0] for text in (prompt, f"{prompt}/{number}"))
        return float(level % 4 == 0 or (level % 4 != 1 and dice < 40 * (level % 4)))


def rows(count=40):
    return [{"id": f"q{number}", "prompt": f"{number}+1=", "answer": str(number + 1)} for number in range(count)]


def ledger(directory):
    with sqlite3.connect(directory / "ledger.sqlite") as database:
        return database.execute(f"SELECT {COLUMNS} FROM groups ORDER BY request_id").fetchall()


def natively(model, tokenizer, recipe, out, steps):
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    config = {
        "train": {"steps": steps, "seed": 3, "groups_per_step": 4, "group_size": 4, "learning_rate": 1e-3},
        "engine": {"max_new_tokens": 8},
        "eval": {"every": 1000},
        "model": {"chat_template": False},
        "advantage": {"deviation": "sample", "epsilon": 1e-4},
        "task": {"binary_rewards": recipe == "erpo"},
    }
    run = rekindle.train(
        out / "model",
        rows(),
        reward=Fake(),
        recipe=recipe,
        config=config,
        out=out / "run",
        held_out=[{"prompt": "held out", "answer": "1"}],
        say=lambda text: None,
    )
    return ledger(out / "run"), run.metrics[1:]


@pytest.mark.parametrize("recipe", ["recycle", "erpo", "bounded_dapo", "dapo", "soft_recycle"])
def test_decisions_are_those_of_the_native_trainer(recipe, tiny_model, tokenizer, args, tmp_path):
    trainer = RekindleTrainer(
        tiny_model,
        Fake(),
        args(**BATCH, max_steps=24 if recipe == "erpo" else 6),
        Dataset.from_list(rows()),
        processing_class=tokenizer,
        recipe=recipe,
    )
    trainer.train()
    inside = rekindle.load_run(tmp_path / "out" / "rekindle").metrics
    natives, outside = natively(tiny_model, tokenizer, recipe, tmp_path, steps=len(inside))
    assert ledger(tmp_path / "out" / "rekindle") == natives
    for key in ("step", "rollouts", "groups/mixed", "groups/trained", "temperature/max", "reward/mean", "pool/live"):
        assert [line[key] for line in inside] == [line[key] for line in outside], key
    assert [line["advantage/abs_mean"] for line in inside] == [line["advantage/abs_mean"] for line in outside]
    assert len({row[5] for row in natives}) >= (3 if recipe == "erpo" else 1), "temperatures were raised twice"
