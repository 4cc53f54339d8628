"""Schedulers of self-play against schedulers of given tasks."""

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
def test_tasks_of_self_play_come_into_a_growing_pool(fill, consumes):
    scheduler = build_scheduler(self_play_config("self_play", f"self_play.fill={fill}"), ["not read"])
    assert isinstance(scheduler.pool, GrowingPool)
    assert len(scheduler.history) == 0
    assert scheduler.pool.consumes_on_draw is consumes
    assert scheduler.ask() is None
    assert scheduler.take() == []
