"""Environments of ours on verl: what asks for them, and the settings that follow."""

import json

import pytest

from rekindle.config import ConfigError
from rekindle.integrations.verl.settings.environments import environment_settings
from rekindle.integrations.verl.settings.run_settings import run_settings
from rekindle.integrations.verl.settings.values import DEFAULTS, ROLLOUT, Values

LOOP = f"{ROLLOUT}.agent.default_agent_loop"
DATA = {
    "data.custom_cls.path": "pkg://rekindle.integrations.verl.dataset",
    "data.custom_cls.name": "TaskDataset",
    "data.train_files": "pool",
    "data.val_files": "held_out",
}


def values(**changes):
    """Settings of a user with groups of 8 and responses of 2000 tokens."""
    own = {f"{ROLLOUT}.n": 8, "algorithm.adv_estimator": "grpo", "trainer.v1.trainer_mode": "rekindle"}
    return Values(DEFAULTS).changed({**own, f"{ROLLOUT}.response_length": 2000, **changes})


def configured(tables, **changes):
    return run_settings(tables, values(**changes))


def test_a_search_agent_in_the_embedded_world():
    tables = {"recipe": "recycle", "task": {"source": "search_world"}, "search": {"max_turns": 4}}
    config = configured(tables)
    assert (config.task.source, config.search.max_turns, config.rewards) == ("search_world", 4, ())
    assert config.task.binary_rewards
    assert environment_settings(config, tables) == {LOOP: "rekindle_search", **DATA}


def test_a_search_agent_on_the_users_own_rows():
    tables = {"task": {"environment": "search", "verifier": "qa_exact_match"}, "retriever": {"corpus": "c.jsonl"}}
    config = configured(tables)
    assert (config.task.source, config.task.verifier) == ("given", "qa_exact_match")
    assert environment_settings(config, tables) == {LOOP: "rekindle_search"}, "the rows are those of data.train_files"


def test_a_single_turn_of_a_source_of_ours():
    tables = {"task": {"source": "arithmetic"}}
    config = configured(tables)
    assert config.engine.max_new_tokens == 2000, "nothing but what the policy writes"
    assert environment_settings(config, tables) == {LOOP: "rekindle_single_turn", **DATA}


def test_without_tables_of_tasks_prompts_and_rewards_are_verls():
    config = configured({"recipe": "recycle"})
    assert [one.function for one in config.rewards] == ["given:score"]
    assert environment_settings(config, {"recipe": "recycle"}) == {}


@pytest.mark.parametrize(
    ("search", "sampled"),
    [
        ({"max_turns": 2, "max_queries": 1, "documents": 3, "document_tokens": 100}, 2000 - 300),
        ({"max_turns": 5, "max_queries": 3, "documents": 3, "document_tokens": 200}, 1000),
    ],
)
def test_documents_have_room_in_a_response(search, sampled):
    """Documents of all turns but the last, at most half of a response."""
    tables = {"task": {"source": "search_world"}, "search": search}
    assert configured(tables).engine.max_new_tokens == sampled
    own = configured({**tables, "engine": {"max_new_tokens": 123}})
    assert own.engine.max_new_tokens == 123


def test_self_play():
    tables = {"recipe": "self_play"}
    config = configured(tables, **{f"{ROLLOUT}.n": 1})
    assert (config.task.source, config.train.group_size, config.self_play.reference_samples) == ("self_play", 5, 0)
    assert environment_settings(config, tables) == {LOOP: "rekindle_search", **DATA}
    assert json.loads(config.model_dump_json())["self_play"]["updates"] == "joint"


def test_rules_of_environments_hold_on_verl():
    with pytest.raises(ConfigError, match=r'retriever.kind = "lexical" needs retriever.corpus'):
        configured({"task": {"environment": "search"}})
