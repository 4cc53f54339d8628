"""Messages of a run in verl's words."""

import pytest

from rekindle.config import Config
from rekindle.config.keys import keys_of
from rekindle.integrations.verl.settings.tables import PLACES
from rekindle.integrations.verl.words import NAMES, said

DECIDED = ("train", "engine", "optimizer", "model", "eval", "checkpoint")


@pytest.mark.parametrize("path", [key.path for key in keys_of(Config) if not PLACES.allowed(key.path)])
def test_a_key_that_a_recipe_cannot_set_is_said_by_a_setting_of_verl(path):
    text = said(f"{path} = 3 differs from 4")
    assert path not in text.split() or path.partition(".")[0] not in DECIDED


def test_keys_of_recipes_keep_their_names():
    for path in (key.path for key in keys_of(Config) if PLACES.allowed(key.path)):
        if path not in NAMES:
            assert said(f"raise {path}.") == f"raise {path}."
    assert said("look at samples.jsonl and /a/train.steps/b") == "look at samples.jsonl and /a/train.steps/b"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("raise train.group_size", "raise actor_rollout_ref.rollout.n"),
        ("choose another --out", "choose another trainer.default_local_dir"),
        ("rewards[0] is odd", "reward.custom_reward_function[0] is odd"),
        ("x; make one with `rekindle profile`", "x; leave profile.path out, and the prompts are profiled before the"),
    ],
)
def test_the_sentences(message, words):
    assert said(message).startswith(words)
