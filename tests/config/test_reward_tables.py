"""``[[rewards]]`` in a configuration: what is accepted, what is refused, and where files are looked for."""

import json

import pytest

from rekindle.config import Config, ConfigError, dump_toml, read_toml, validate
from rekindle.config.facts import judges, needs_answers, verifies_in_workers
from rekindle.config.keys import keys_of, lists_of
from rekindle.recipes import resolve

BASE = "[train]\nsteps = 3\n"
ONE = '[[rewards]]\nfunction = "my_reward.py:score"\n'


@pytest.fixture
def resolved(tmp_path):
    def resolved(text, *overrides, recipe=None):
        (tmp_path / "my.toml").write_text(BASE + text)
        return resolve(tmp_path / "my.toml", recipe, overrides)

    return resolved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rewards]\nfunction = 'a.py:f'\n", "rewards must be a list of tables; write [[rewards]] instead"),
        ("[[rewards]]\nweight = 1.0\n", "rewards[0].function is missing; set it"),
        (ONE + "weight = 0\n", "rewards[0].weight = 0: input should be greater than 0"),
        (ONE + "weight = -1.0\n", "rewards[0].weight = -1.0: input should be greater than 0"),
        (ONE + "weight = nan\n", "rewards.weight = nan: a number must be finite"),
        (ONE + 'weight = "much"\n', "rewards[0].weight = \"much\": input should be a valid number"),
        (ONE + "timeout_seconds = 0\n", "rewards[0].timeout_seconds = 0: input should be greater than 0"),
        (ONE + "wait = 3\n", "rewards[0].wait: unknown key"),
        (ONE + "wieght = 3\n", "rewards[0].wieght: unknown key; did you mean rewards.weight?"),
        (ONE * 2, 'two rewards have the name "score"; give one of them another (rewards.name)'),
        (ONE + 'name = "mean"\n', "rewards[0].name = 'mean' cannot be the name of a reward"),
        (ONE + 'name = "a/b"\n', "rewards[0].name = 'a/b' cannot be the name of a reward"),
        (ONE + 'name = "math"\n[task]\nverifier = "math"\n', 'two rewards have the name "math"'),
        ('[[rewards]]\nfunction = "my_reward.py"\n', "rewards[0].function = 'my_reward.py' names no function"),
        ('[[rewards]]\nfunction = "score"\n', "rewards[0].function = 'score' names no function"),
        ('[[rewards]]\nfunction = "my reward:score"\n', "names no function; write FILE.py:NAME"),
        ('[[rewards]]\nfunction = "my_reward.py:"\n', "names no function"),
        (ONE + "in_process = true\ntimeout_seconds = 3.0\n", "seconds = 3.0 would not be read; set in_process"),
        ("[task]\nverifier_weight = 2.0\n", "verifier_weight = 2.0 would not be read; add [[rewards]]"),
        (ONE + "[task]\nverifier_weight = 2.0\n", "task.verifier_weight = 2.0 would not be read"),
        (ONE + "[verify]\ntimeout_seconds = 2.0\n", "verify.timeout_seconds = 2.0 would not be read"),
        ("[[audits]]\nverifier = 'exact'\n", 'audits[0].verifier = "exact": did you mean "exact_match"?'),
        ("[[audits]]\nverifier = 'math'\nshare = 0\n", "audits[0].share = 0: input should be greater than 0"),
        ("[[audits]]\nverifier = 'math'\nshare = 1.5\n", "audits[0].share = 1.5: input should be less than"),
        ("[audits]\nverifier = 'math'\n", "audits must be a list of tables; write [[audits]] instead"),
        ("[[audits]]\nverifier = 'math'\nweight = 2.0\n", "audits[0].weight: unknown key"),
        ("[task]\nsuccess_threshold = 2.0\n", "task.success_threshold = 2 is outside of the scores of verifiers"),
        ("[task]\nsuccess_threshold = 0.0\n", "task.success_threshold = 0 is outside of the scores of verifiers"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(text, message, resolved, tmp_path):
    with pytest.raises(ConfigError) as caught:
        resolved(text)
    assert f"my.toml: {message}" in str(caught.value) or message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/my.toml: ")
    assert len(str(caught.value).splitlines()) == 1


def test_self_play_compares_answers(resolved):
    with pytest.raises(ConfigError, match=r'task.source = "self_play" compares answers .* remove \[\[rewards\]\]'):
        resolved(ONE, recipe="self_play")


def test_rewards_replace_the_verifier_unless_it_has_a_name(resolved):
    alone = resolved(ONE)
    assert (judges(alone), needs_answers(alone), verifies_in_workers(alone)) == ('the reward "score"', False, True)
    beside = resolved(ONE + '[task]\nverifier = "exact_match"\nverifier_weight = 0.5\n')
    assert judges(beside) == 'the reward "score" and task.verifier = "exact_match"'
    assert needs_answers(beside)
    without = resolved("")
    assert (judges(without), needs_answers(without)) == ('task.verifier = "exact_match"', True)
    assert not verifies_in_workers(resolved(ONE + "in_process = true\n"))


def test_rewards_are_graded_unless_the_file_says_otherwise(resolved):
    assert (resolved("").task.binary_rewards, resolved("").task.success_threshold) == (True, 1.0)
    assert (resolved(ONE).task.binary_rewards, resolved(ONE).task.success_threshold) == (False, 0.5)
    binary = resolved(ONE + "[task]\nbinary_rewards = true\nsuccess_threshold = 3.0\n")
    assert (binary.task.binary_rewards, binary.task.success_threshold) == (True, 3.0)


def test_recipes_that_count_successes_say_what_they_need(resolved):
    with pytest.raises(ConfigError, match=r"needs 0/1 rewards; set task\.binary_rewards = true"):
        resolved(ONE, recipe="knapsack")
    assert resolved(ONE, "task.binary_rewards=true", recipe="knapsack").rewards


def test_a_file_is_looked_for_beside_the_configuration_and_then_from_the_working_directory(
    resolved, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert resolved(ONE).rewards[0].function == f"{tmp_path}/my_reward.py:score"
    (elsewhere / "my_reward.py").touch()
    assert resolved(ONE).rewards[0].function == f"{elsewhere}/my_reward.py:score"
    (tmp_path / "my_reward.py").touch()
    assert resolved(ONE).rewards[0].function == f"{tmp_path}/my_reward.py:score"
    assert resolved("", 'rewards=[{function="my_reward.py:score"}]').rewards[0].function.startswith(str(tmp_path))
    monkeypatch.setenv("HOME", str(elsewhere))
    assert resolved(ONE.replace("my_reward", "~/x")).rewards[0].function == f"{elsewhere}/x.py:score"
    for other in ("package.module:score", "given:score"):
        assert resolved(ONE.replace("my_reward.py:score", other)).rewards[0].function == other


def test_the_complete_configuration_reads_the_same(resolved, tmp_path):
    config = resolved(ONE + 'name = "right"\nweight = 2\n' + ONE.replace("my_reward", "other"))
    (tmp_path / "saved.toml").write_text(dump_toml(config))
    assert validate(read_toml(tmp_path / "saved.toml"), "saved") == resolve(tmp_path / "saved.toml") == config


LISTED = [(name, key) for name, table in lists_of(Config) for key in keys_of(table)]


@pytest.mark.parametrize(("name", "key"), LISTED, ids=lambda one: getattr(one, "path", one))
def test_every_key_of_a_table_in_a_list_is_described(name, key):
    assert len(key.description) > 3
    assert not key.description.endswith(".")
    assert set(key.choices) - {None} <= set(key.values)
    assert json.dumps(str(key.only))
