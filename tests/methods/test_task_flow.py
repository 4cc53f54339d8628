"""What a scheduler does differently where the policy makes its tasks itself."""

import pytest

from rekindle.methods import build_scheduler
from rekindle.scheduling.pools import CyclingPool, GrowingPool
from searching import self_play_config


def test_given_tasks_are_all_there(quick_config):
    scheduler = build_scheduler(quick_config("grpo"), ["a", "b"])
    assert isinstance(scheduler.pool, CyclingPool)
    assert not scheduler.pool.grows
    assert len(scheduler.history) == 2


@pytest.mark.parametrize(("fill", "consumes"), [("dummy", True), ("replay", True)])
def test_self_made_tasks_come_into_a_pool_that_grows(fill, consumes):
    scheduler = build_scheduler(self_play_config("self_play", f"self_play.fill={fill}"), ["not read"])
    assert isinstance(scheduler.pool, GrowingPool)
    assert len(scheduler.history) == 0
    assert scheduler.pool.consumes_on_draw is consumes
    assert scheduler.ask() is None
    assert scheduler.take() == []
