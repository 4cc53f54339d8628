"""Tokens of rollouts as columns: every number comes back, whatever its type, and damage is noticed."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling_cases import through_checkpoint

from rekindle import History, Rollout, Scheduler
from rekindle.scheduling.group_sizes import fixed
from rekindle.scheduling.pools import CyclingPool
from rekindle.scheduling.rollout_columns import NAMES, ReadColumns, RolloutColumns
from rekindle.scheduling.serialization import rollout_from_json, rollout_to_json
from rekindle.testing import SimulatedPolicy
from rekindle.types import Document, Retrieval


def rollout(tokens, **fields):
    """A rollout of (token, own, log-probability)."""
    ids, mask, logprobs = ([one[place] for one in tokens] for place in range(3))
    return Rollout(token_ids=ids, loss_mask=mask, logprobs=logprobs, reward=1.0, **fields)


def read_back(rollouts):
    """Rollouts through columns and JSON."""
    columns = RolloutColumns()
    values = json.loads(json.dumps([rollout_to_json(one, columns) for one in rollouts]))
    read = ReadColumns(columns.arrays())
    return [rollout_from_json(one, read) for one in values], columns.arrays()


numbers = st.one_of(st.floats(width=32, allow_nan=False), st.floats(allow_nan=False))
tokens = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans(), numbers), max_size=20)


@given(st.lists(tokens, max_size=6))
def test_every_number_comes_back(several):
    rollouts = [rollout(one) for one in several]
    assert read_back(rollouts)[0] == rollouts


def test_columns_worked_by_hand():
    three = rollout([(7, False, 0.0), (8, True, -0.5), (9, True, -0.25)])
    one = rollout([(5, True, -1.0)])
    _, columns = read_back([three, one])
    assert {name: column.tolist() for name, column in columns.items()} == {
        "token_ids": [7, 8, 9, 5],
        "loss_mask": [0b01110000],
        "logprobs": [0.0, -0.5, -0.25, -1.0],
        "lengths": [3, 1],
    }
    assert columns["logprobs"].dtype == np.float32, "every value is one of float32"


def test_what_is_none_of_float32_stays_as_it_is():
    [back], columns = read_back([rollout([(1, True, -0.1)])])
    assert back.logprobs == [-0.1]
    assert columns["logprobs"].dtype == np.float64


def test_probabilities_that_are_no_numbers_come_back():
    [back], columns = read_back([rollout([(1, True, math.nan), (2, True, -math.inf)])])
    assert math.isnan(back.logprobs[0])
    assert back.logprobs[1] == -math.inf
    assert columns["logprobs"].dtype == np.float32


def test_all_other_fields_come_back():
    full = rollout(
        [(1, True, 0.0)],
        text="so\n",
        failure="timeout",
        retrievals=(Retrieval(1, "who", (Document("1", "", "She."),)),),
        rewards={"a": None, "b": 0.5},
        audits={"c": 1.0},
        final="She",
    )
    assert read_back([full])[0] == [full]


def test_sequences_of_different_lengths_are_refused():
    odd = Rollout(token_ids=[1, 2], loss_mask=[True], logprobs=[0.0, 0.0], reward=0.0)
    with pytest.raises(ValueError, match="2 tokens, 1 of the mask and 2 probabilities"):
        RolloutColumns().add(odd)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_another_checkpoint_is_noticed(name):
    columns = RolloutColumns()
    columns.add(rollout([(1, True, 0.0)] * 9))
    arrays = columns.arrays()
    arrays[name] = arrays[name][:-1]
    with pytest.raises(ValueError, match="do not belong together"):
        ReadColumns(arrays)


def waiting():
    """A scheduler with a step ahead, and the groups of its first step."""
    scheduler = Scheduler(
        CyclingPool(History(f"t{row}" for row in range(8))), groups_per_step=2, group_size=fixed(4), seed=3
    )
    policy = SimulatedPolicy(np.full(8, 0.5))
    for request in iter(scheduler.ask, None):
        scheduler.tell(request.id, policy.play(request))
    return scheduler


def test_a_state_of_format_1_has_the_tokens_in_json():
    scheduler, restored = waiting(), waiting()
    state = through_checkpoint(scheduler.state_dict())
    columns = ReadColumns(state.pop("rollouts"))
    groups = [group for cohort in state["cohorts"] for group in cohort["groups"]]
    assert groups, "some wait for their step"
    for group in groups:
        group["rollouts"] = [{**one, **columns.at(one["place"])} for one in group["rollouts"]]
        for one in group["rollouts"]:
            del one["place"]
    restored.load_state_dict(state)
    assert restored.take() == scheduler.take()
