"""Composition of methods: every accepted pair, and every configuration that passes the rules, is built and played.

Real training of some combinations is in training/test_composition_runs.py.
"""

import importlib.util
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rekindle.config import Config, read_toml, refusals, validate
from rekindle.learning.samples import build_samples
from rekindle.methods import build_credit, build_scheduler
from rekindle.methods.composition import FEATURES, clashes, combine, overrides
from rekindle.scheduling.profiling import Profile, ProfileKey
from rekindle.testing import SimulatedPolicy
from rekindle.types import Fate, UserError

ROOT = Path(__file__).parents[2]
PAIRS = [*combinations(FEATURES, 2)]
ACCEPTED = [pair for pair in PAIRS if not combine(*pair)]
PROMPTS = 60


@pytest.fixture(scope="module")
def profile():
    """Eight rollouts of each prompt, of every success rate from 0/8 to 8/8."""
    successes = np.arange(PROMPTS) % 9
    columns: dict[str, Any] = {name: np.full(PROMPTS, 8) for name in ("samples", "generated_tokens", "prompt_tokens")}
    key = ProfileKey("simulated", "exact", 1.0, 24)
    return Profile(key, [str(row) for row in range(PROMPTS)], successes, **columns)


def play(config, profile, steps=2):
    """Some steps with a policy that solves prompts at random: the groups of each, and the records of all."""
    scheduler = build_scheduler(config, profile.task_ids, profile)
    credit, policy = build_credit(config), SimulatedPolicy(profile.success_rates)
    batches, records, told = [], [], Counter()
    for version in range(1, steps + 1):
        while (groups := scheduler.take()) is None:
            asked = list(iter(scheduler.ask, None))
            if not asked:
                return batches, records
            for request in asked:
                scheduler.tell(request.id, policy.play(request))
                told[request.id] += request.n
        assert all(np.isfinite(sample.advantages).all() for sample in build_samples(groups, credit))
        scheduler.advance(version, moved=0.01)
        records += scheduler.drain_records()
        batches.append(groups)
    assert Counter({row.request.id: row.request.n for row in records}) == told, "every rollout has one fate"
    return batches, records


def small(config):
    """The same with few prompts a step."""
    return config.model_copy(update={"train": config.train.model_copy(update={"groups_per_step": 8})})


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_works_alone_and_is_not_plain_grpo(name, profile):
    assert combine(name) == []
    config = Config.model_validate(overrides(name))
    assert config != Config()
    assert play(small(config), profile)[1]


@pytest.mark.parametrize(("one", "other"), ACCEPTED)
def test_every_accepted_pair_is_built_plays_and_conserves(one, other, profile):
    config = small(Config.model_validate(overrides(one, other)))
    batches, records = play(config, profile)
    most = 16 if config.pool.kind == "phased" else 8
    assert [len(groups) <= most for groups in batches] == [True, True]
    trained = sum(row.fate is Fate.TRAINED for row in records)
    assert trained == sum(1 + len(group.topped_up) for groups in batches for group in groups) > 0


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("sGPO phases", "ERPO heating"), "set profile.trivial_above = 1 to keep them"),
        (("query recycling", "MoPPS"), "query recycling and MoPPS both set pool.kind; leave one of them out"),
        (("GSPO", "token filter", "CISPO"), "GSPO and CISPO both set loss.kind, loss.clip_high"),
        (("knapsack", "sized groups 1/p"), "both set sizes.rule"),
        (("single rollout", "query recycling"), "a group of one (train.group_size = 1) never has signal"),
        (("single rollout", "DAPO refill"), "refill.max_rounds would never draw again"),
        (("ERPO RA", "SPO baseline"), "already gives all-correct groups an advantage"),
        (("sGPO phases", "SPEED top-up"), "both set the size of a group"),
    ],
)
def test_contradictions_are_refused_with_the_reason(names, reason):
    assert reason in "\n".join(combine(*names))
    assert combine(*names) == combine(*names), "asking changes nothing"
    assert combine(*reversed(names)), "the order in which features are named does not decide"


def test_of_several_clashes_each_pair_is_named():
    assert combine("GRESO", "MoPPS", "sGPO phases") == [
        "GRESO and MoPPS both set pool.kind; leave one of them out",
        "GRESO and sGPO phases both set pool.kind; leave one of them out",
        "MoPPS and sGPO phases both set pool.kind; leave one of them out",
    ]
    assert clashes("ERPO heating", "ERPO RA") == [], "the same value twice is no clash"


def test_single_rollouts_take_the_estimator_of_another_feature():
    assert overrides("single rollout")["advantage"]["estimator"] == "batch_standardize"
    assert overrides("single rollout", "SPO baseline") == overrides("SPO baseline", "single rollout")
    assert overrides("single rollout", "SPO baseline")["advantage"]["estimator"] == "spo"
    assert combine("single rollout", "SPO baseline", "token filter", "ERPO heating") == []


def test_an_unknown_feature_is_named():
    with pytest.raises(UserError, match="no feature 'GRISO'; did you mean 'GRESO'"):
        combine("GRISO")


def test_the_composition_page_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("make_composition", ROOT / "docs" / "make_composition.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text(encoding="utf-8")
    assert page == module.page(), "run: python docs/make_composition.py"
    assert page.count("| yes") == 2 * len(ACCEPTED)


def test_the_toml_of_the_page_is_a_run(tmp_path):
    block = (ROOT / "docs" / "composition.md").read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    (tmp_path / "run.toml").write_text(block)
    config = validate(read_toml(tmp_path / "run.toml"), "page")
    assert (config.pool.kind, config.sizes.rule, config.reactivation.kind) == (
        "recycling",
        "inverse_success",
        "virtual_failure",
    )


# -- whatever no rule refuses works -----------------------------------------------------------------------------------

CHOICES: dict[str, Any] = {
    "pool.kind": ["cycling", "recycling", "prioritized", "selective", "phased"],
    "pool.alpha": [0.0, 0.1],
    "pool.on_empty": ["reset", "stop"],
    "pool.reset_below": [0.0, 0.3],
    "priority.score": ["signal_chance", "uncertainty"],
    "priority.estimate": ["mean", "sample"],
    "priority.select": ["weighted", "best"],
    "priority.sharpness": [1.0, 0.0],
    "priority.consume": ["none", "drawn", "trained"],
    "posterior.half_life": [None, 0.1],
    "posterior.least_discount": [0.0, 0.9],
    "posterior.most_discount": [1.0, 0.5],
    "phases.order": ["easy_first", "hard_first"],
    "phases.reprofile": [False, True],
    "profile.trivial_above": [0.75, 1.0],
    "sizes.rule": ["fixed", "inverse_success", "knapsack"],
    "sizes.minimum": [2, 1],
    "sizes.maximum": [8, 16],
    "heating.delta": [0.0, 0.05],
    "heating.maximum": [1.2, 0.9],
    "reactivation.kind": ["off", "virtual_failure", "constant"],
    "top_up.kind": ["off", "mixed", "balance"],
    "top_up.max_rounds": [4, 6],
    "subset.kind": ["off", "max_variance", "balanced"],
    "subset.size": [4, 2, 3],
    "refill.max_rounds": [0, 2],
    "train.oversample": [1, 2],
    "train.group_size": [4, 1, 8],
    "train.gate": ["has_signal", "not_all_wrong", "everything"],
    "advantage.estimator": ["grpo", "gpg", "maxrl", "reinforce_pp_baseline", "batch_standardize", "c_rf", "spo"],
    "advantage.zero_variance_scale": [0.0, 0.1],
    "loss.off_temperature": ["tempered", "importance", "ignore"],
    "optimizer.minibatches": [1, 4, 8],
}


@given(st.dictionaries(st.sampled_from(list(CHOICES)), st.integers(0, 6), min_size=1, max_size=9))
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_accepted_configuration_is_built_plays_and_conserves(profile, picked):
    values = {"train": {"groups_per_step": 8}}
    for path, index in picked.items():
        table, key = path.split(".")
        values.setdefault(table, {})[key] = CHOICES[path][index % len(CHOICES[path])]
    config = Config.model_validate(values)
    if not refusals(config):
        play(config, profile)
