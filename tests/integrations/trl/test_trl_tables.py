"""Which keys a recipe may set inside TRL: every other one says where in TRL it is."""

import json

import pytest

from rekindle.config import Config, ConfigError
from rekindle.config.keys import keys_of, lists_of
from rekindle.integrations.trl.settings.tables import allowed, refuse_tables

REFUSED = [key for key in keys_of(Config) if not allowed(key.path)]


def nested(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize("path", [key.path for key in REFUSED])
def test_a_key_that_is_not_ours_inside_trl_says_where_it_is(path):
    with pytest.raises(ConfigError) as refused:
        refuse_tables(nested(path, 1))
    words = str(refused.value)
    assert words.startswith(f"recipe: {path} ")
    assert "GRPOConfig(" in words or ": " in words.removeprefix("recipe: ")


@pytest.mark.parametrize("name", [name for name, _ in lists_of(Config)])
def test_lists_of_tables_say_where_they_are(name):
    with pytest.raises(ConfigError, match=r"reward_funcs=|GRPOConfig"):
        refuse_tables({name: [{"function": "f.py:g"}]})


def test_all_other_keys_are_accepted():
    for key in keys_of(Config):
        if allowed(key.path) and key.path != "loss.old_logprobs":
            refuse_tables(nested(key.path, json.loads(json.dumps(key.default))))


WORDS = [
    ({"train": {"learning_rate": 1e-5}}, "recipe: train.learning_rate belongs to TRL: GRPOConfig(learning_rate=...)"),
    ({"train": {"steps": 3}}, "recipe: train.steps belongs to TRL: GRPOConfig(max_steps=... or num_train_epochs=...)"),
    (
        {"optimizer": {"minibatches": 4}},
        "recipe: optimizer.minibatches belongs to TRL: GRPOConfig(steps_per_generation=...)",
    ),
    (
        {"model": {"lora": {"rank": 8}}},
        "recipe: model.lora.rank is not set here: the trainer takes it: peft_config=LoraConfig(...)",
    ),
    ({"track": ["wandb"]}, "recipe: track belongs to TRL: GRPOConfig(report_to=[...])"),
    (
        {"optimizer": {"batch_exponent": 0.5}},
        "recipe: optimizer.batch_exponent is not set here: TRL's schedule sets the learning rate of every step; remove "
        "it",
    ),
    (
        {"judge": {"url": "x"}, "eval": {"every": 3}},
        "recipe: judge.url is not set here: the trainer takes the rewards: reward_funcs=...\n"
        "recipe: eval.every belongs to TRL: GRPOConfig(eval_strategy=..., eval_steps=...)",
    ),
]


@pytest.mark.parametrize(("tables", "words"), WORDS)
def test_the_sentences(tables, words):
    with pytest.raises(ConfigError) as refused:
        refuse_tables(tables)
    assert str(refused.value) == words


@pytest.mark.parametrize("tables", [{}, {"train": {}}, {"optimizer": {}}, {"new": 3}, {"pool": {"new": {"x": 1}}}])
def test_empty_tables_pass_and_unknown_keys_are_left_to_the_configuration(tables):
    refuse_tables(tables)
