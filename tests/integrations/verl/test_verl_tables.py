"""Which keys a recipe may set on verl: every other one says where in verl it is."""

import json

import pytest

from rekindle.config import Config, ConfigError
from rekindle.config.keys import keys_of, lists_of
from rekindle.integrations.settings.paths import nested
from rekindle.integrations.verl.settings.tables import PLACES, refuse_tables

SWITCHES = ("task.source", "task.environment")
"""Keys with which prompts and rewards are ours."""
REFUSED = [key.path for key in keys_of(Config) if not PLACES.allowed(key.path) and key.path not in SWITCHES]


@pytest.mark.parametrize("path", REFUSED)
def test_a_key_that_is_not_ours_on_verl_says_where_it_is(path):
    with pytest.raises(ConfigError) as refused:
        refuse_tables(nested({path: 1}))
    words = str(refused.value)
    assert words.startswith(f"recipe: {path} ")
    assert " belongs to verl: set " in words or " is not set here: " in words


@pytest.mark.parametrize("name", [name for name, _ in lists_of(Config)])
def test_lists_of_tables_say_where_they_are(name):
    with pytest.raises(ConfigError, match="reward"):
        refuse_tables({name: [{"function": "f.py:g"}]})


def test_all_other_keys_are_accepted():
    for key in keys_of(Config):
        if PLACES.allowed(key.path) and key.path != "loss.old_logprobs":
            refuse_tables(nested({key.path: json.loads(json.dumps(key.default))}))
