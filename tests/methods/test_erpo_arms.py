"""The arms of ERPO's table, from the configuration to advantages, by hand."""

import pytest

from rekindle.config import Config, merge, parse_override, refusals
from rekindle.learning.samples import build_samples
from rekindle.methods import build_credit, build_scheduler
from rekindle.types import Fate, Group, GroupRequest, Rollout, outcome_of

RA = "reactivation.kind=virtual_failure"
EVERY = "reactivation.groups=all_correct"
HEATING = "heating.delta=0.05"

ARMS = {
    # settings -> advantages of a group of 16 that is all correct at 1.0, and at 1.1; 1 / sqrt(16) is 1/4
    "GRPO": ((), 0.0, 0.0),
    "RA alone": ((RA, EVERY), 0.25, 0.25),
    "heating alone": ((HEATING,), 0.0, 0.0),
    "ERPO": ((HEATING, RA), 0.0, 0.25),
    "both at every temperature": ((HEATING, RA, EVERY), 0.25, 0.25),
    "a constant alone": (("reactivation.kind=constant", EVERY, "reactivation.constant=0.125"), 0.125, 0.125),
}


def configured(*overrides):
    values = {}
    for override in ("train.gate=not_all_wrong", *overrides):
        values = merge(values, parse_override(override))
    config = Config.model_validate(values)
    assert refusals(config) == []
    return config


def rollout(temperature, reward):
    return Rollout(
        token_ids=[1, 2],
        loss_mask=[False, True],
        logprobs=[0.0, -0.5],
        reward=reward,
        temperature=temperature,
        version=0,
    )


def group(number, temperature, *rewards):
    request = GroupRequest(
        id=number, task_id="t", row=0, n=len(rewards), temperature=temperature, seed=0, version=0, step=1
    )
    return Group(
        request=request,
        rollouts=tuple(rollout(temperature, float(reward)) for reward in rewards),
        outcome=outcome_of(rewards),
    )


@pytest.mark.parametrize(("settings", "base", "raised"), ARMS.values(), ids=ARMS)
def test_the_arms_by_hand(settings, base, raised):
    credit = build_credit(configured(*settings))
    groups = [group(0, 1.0, *[1] * 16), group(1, 1.1, *[1] * 16), group(2, 1.0, 1, 0)]
    found = [sample.advantages[-1] for sample in build_samples(groups, credit)]
    assert found == pytest.approx([*[base] * 16, *[raised] * 16, 1, -1], rel=1e-5)


def advantages(config, rewards):
    """(temperature, advantage of the first rollout) of each visit of one prompt; 0 where it is dropped."""
    scheduler, credit, found = build_scheduler(config, ["t"]), build_credit(config), []
    for version, reward in enumerate(rewards, start=1):
        request = scheduler.ask()
        assert request is not None
        four = [rollout(request.temperature, reward) for _ in range(request.n)]
        fate = scheduler.tell(request.id, four)
        assert (fate is Fate.TRAINED) == (reward > 0)
        samples = build_samples(scheduler.take() or [], credit)
        found.append((request.temperature, samples[0].advantages[-1] if samples else 0.0))
        scheduler.drain_records()
        scheduler.advance(version)
    return found


def test_ra_alone_stays_at_the_base_temperature_and_can_decay():
    """Groups of 4 give 1/2; with the decay visits 1, 2, 3, ... give 1/2, 1/4, 1/6, and a failure starts anew."""
    alone = ("train.groups_per_step=1", RA, EVERY)
    assert advantages(configured(*alone), [1.0] * 3) == [(1.0, pytest.approx(0.5, rel=1e-5))] * 3
    decayed = advantages(configured(*alone, "reactivation.decay=true"), [1.0, 1.0, 1.0, 0.0, 1.0])
    assert [temperature for temperature, _ in decayed] == [1.0] * 5
    assert [value for _, value in decayed] == pytest.approx([1 / 2, 1 / 4, 1 / 6, 0, 1 / 2], rel=1e-5)


def test_heating_alone_raises_the_temperature_without_an_advantage():
    found = advantages(configured("train.groups_per_step=1", HEATING), [1.0] * 6)
    assert found == [(pytest.approx(heat), 0.0) for heat in (1, 1.05, 1.1, 1.15, 1.2, 1.2)]


def test_erpo_reactivates_from_the_second_solved_visit_on():
    found = advantages(configured("train.groups_per_step=1", HEATING, RA), [1.0] * 3)
    assert found == [(1.0, 0.0), *[(pytest.approx(heat), pytest.approx(0.5, rel=1e-5)) for heat in (1.05, 1.1)]]
