"""Every key has a description, and is refused if it is set where its condition does not hold."""

import re

import pytest

from rekindle.config import Config, refusals
from rekindle.config.conditions import absent, given, on, value_at
from rekindle.config.keys import keys_of
from rekindle.learning.aggregation import AGGREGATIONS
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.losses import LOSSES
from rekindle.methods.pools import BUILDERS
from rekindle.scheduling import pools
from rekindle.scheduling.gates import GATES
from rekindle.scheduling.pools import POOLS

KEYS = {key.path: key for key in keys_of(Config)}
CONDITIONAL = [path for path, key in KEYS.items() if key.only is not None]


def configuration(settings):
    values = {}
    for path, value in settings.items():
        *tables, name = path.split(".")
        inner = values
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[name] = value
    return Config.model_validate(values)


def allowed(path, value):
    try:
        return bool(configuration({path: value}))
    except ValueError:
        return False


def another(key):
    """An allowed value other than the default."""
    kind = str(key.field.annotation)
    if key.choices:
        candidates = key.choices
    elif "tuple" in kind:
        candidates = [("q_proj",)] if "str" in kind else [(0.1, 0.2)]
    elif "dict" in kind:
        candidates = [{"seed": 1}]
    elif "int" in kind or "bool" in kind:
        candidates = [not key.default] if "bool" in kind else [2 * (key.default or 3), (key.default or 3) // 2]
    else:
        candidates = ["text"] if "str" in kind else [0.31, 3.0]
    return next(value for value in candidates if value != key.default and allowed(key.path, value))


def unread(settings, path):
    found = [reason for reason in refusals(configuration(settings)) if reason.startswith(f"{path} = ")]
    return [reason for reason in found if "would not be read" in reason]


NEIGHBOURS = [{}, {"model.path": "m"}, {"advantage.negative_scale": 0.0}] + [
    {path: value} for path, key in KEYS.items() for value in key.choices if value != key.default
]


def where_it_fails(key):
    """Settings of other keys under which the key is not read."""
    for found in [key.only.settings() | more for more in ({}, *NEIGHBOURS)] + NEIGHBOURS:
        settings = {path: value for path, value in found.items() if path != key.path}
        try:
            config = configuration({**settings, key.path: another(key)})
        except ValueError:
            continue
        if not key.only.holds(config):
            return settings
    raise AssertionError(f"nothing was found that makes {key.path} unread")


@pytest.mark.parametrize("path", KEYS)
def test_every_key_and_every_value_of_a_choice_is_described(path):
    key = KEYS[path]
    assert len(key.description) > 3
    assert not key.description.endswith(".")
    assert set(key.choices) == set(key.values), "a description for each value, and for no other"
    assert all(key.values.values())


@pytest.mark.parametrize("path", CONDITIONAL)
def test_a_key_that_would_not_be_read_is_refused_with_the_remedy(path):
    key = KEYS[path]
    settings = {**where_it_fails(key), path: another(key)}
    (reason,) = unread(settings, path)
    assert key.only is not None
    remedy = key.only.remedy(configuration(settings))
    assert f" would not be read; {remedy}, or " in reason
    assert remedy
    assert str(key.only)


@pytest.mark.parametrize("path", CONDITIONAL)
def test_a_key_that_is_read_is_not_refused_as_unread(path):
    key = KEYS[path]
    assert key.only is not None
    settings = {**key.only.settings(), path: another(key)}
    assert key.only.holds(configuration(settings)), "the settings of a condition make it hold"
    assert unread(settings, path) == []


@pytest.mark.parametrize("path", CONDITIONAL)
def test_remedies_name_existing_keys_and_values(path):
    only = KEYS[path].only
    assert only is not None
    for name, literal in re.findall(r'set ([a-z_.]+) = ("[^"]*"|[\d.]+)', only.remedy(Config())):
        assert name in KEYS
        if KEYS[name].choices:
            assert literal.strip('"') in KEYS[name].choices


def test_conditions_combine_and_keep_the_first_remedy():
    config = Config()
    recycling, prioritized = on("pool.kind", "recycling"), on("pool.kind", "prioritized")
    trained = on("priority.consume", "trained", "drawn")
    either = recycling | (prioritized & trained)
    assert (either.holds(config), either.remedy(config)) == (False, 'set pool.kind = "recycling"')
    assert str(either) == (
        'pool.kind = "recycling", or pool.kind = "prioritized" and priority.consume = "trained" or "drawn"'
    )
    assert either.holds(configuration({"pool.kind": "prioritized", "priority.consume": "drawn"}))
    both = on("pool.kind", "cycling") & trained
    assert both.remedy(config) == 'set priority.consume = "trained"', "what holds already needs no remedy"
    assert either.but("do something else").remedy(config) == "do something else"
    assert given("heating.delta", 0.05).remedy(config) == "set heating.delta = 0.05"
    assert given("profile.path", "p", suggest=False).remedy(config) == "set profile.path"
    assert absent("profile.path").holds(config)
    assert value_at(config, "model.tiny.layers") == 4


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("advantage.estimator", ESTIMATORS),
        ("loss.kind", LOSSES),
        ("loss.aggregation", AGGREGATIONS),
        ("train.gate", GATES),
        ("pool.kind", POOLS),
    ],
)
def test_the_names_of_a_choice_are_those_of_its_table(path, table):
    assert KEYS[path].choices == tuple(table)
    assert KEYS[path].values == {name: entry.description for name, entry in table.items()}


def test_every_pool_is_built_by_a_function_and_has_a_class():
    assert set(BUILDERS) == set(POOLS)
    for choice in POOLS.values():
        assert choice.target.partition(":")[2] in pools.__all__


def test_the_parameters_of_an_estimator_are_keys_that_only_it_reads():
    for name, estimator in ESTIMATORS.items():
        assert bool(estimator.parameters) == (estimator.build is not None)
        for parameter in estimator.parameters:
            key = KEYS[f"advantage.{parameter}"]
            assert key.only is not None
            settings = key.only.settings()
            assert parameter in ESTIMATORS[settings["advantage.estimator"]].parameters
            assert key.only.holds(configuration({**settings, "advantage.estimator": name}))
    for name in set(ESTIMATORS) - {name for name, entry in ESTIMATORS.items() if entry.parameters}:
        conditions = [key.only for path, key in KEYS.items() if path.startswith("advantage.") and key.only is not None]
        taken = [only for only in conditions if "advantage.estimator" in only.settings()]
        assert taken
        assert not any(only.holds(configuration({"advantage.estimator": name})) for only in taken)
