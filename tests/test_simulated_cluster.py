"""The simulated cluster of benchmarks/cluster_scale.py: a run by hand, its bounds, and the page."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rekindle import History, Scheduler
from rekindle.methods import build_scheduler
from rekindle.planning.cluster import LATENCIES, Cluster, ClusterSettings, run
from rekindle.scheduling import gates, group_sizes
from rekindle.scheduling.pools import CyclingPool
from rekindle.types import Fate

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
import cluster_scale  # noqa: E402
from hashed_player import HashedPlayer as Player  # noqa: E402


@pytest.fixture
def second_each(monkeypatch):
    """Every rollout takes a second."""
    monkeypatch.setitem(LATENCIES, "constant", lambda rng, number: np.full(number, 10.0))
    return {"latency": "constant", "tokens_per_second": 10.0, "spread": 0.0, "failures": 0.0}


def two_groups_of_two(lag):
    pool = CyclingPool(History(map(str, range(40))))
    return Scheduler(
        pool, groups_per_step=2, group_size=group_sizes.fixed(2), gate=gates.everything, max_off_policy_steps=lag
    )


@pytest.mark.parametrize(
    ("lag", "seconds", "busy"),
    [
        # Four rollouts in two slots take two seconds, and the update three; then the next step begins.
        (0, [5.0, 5.0, 5.0, 5.0], 4 * 4 / (2 * 20)),
        # Steps 1 and 2 are sampled until 4, step n until 3n - 2: the trainer never waits, and at 14 step 5 is sampled.
        (1, [5.0, 3.0, 3.0, 3.0], 5 * 4 / (2 * 14)),
    ],
)
def test_a_run_by_hand(lag, seconds, busy, second_each):
    settings = ClusterSettings(workers=2, slots=1, update_seconds=3.0, **second_each)
    measured = run(two_groups_of_two(lag), settings, Player(), 4)
    assert measured.seconds == pytest.approx(seconds)
    assert measured.busy == pytest.approx(busy)
    assert measured.asked == [2] * 4
    assert measured.ages == ({0: 8} if not lag else {0: 2, 1: 6})


def test_waiting_rollouts_start_in_their_order(second_each):
    cluster = Cluster(ClusterSettings(workers=1, slots=2, **second_each))
    cluster.submit(7, [10.0, 30.0])
    cluster.submit(8, [10.0])
    assert not cluster.wants_requests
    assert [(cluster.next(), cluster.now) for _ in range(3)] == [(7, 1.0), (8, 2.0), (7, 3.0)]
    assert cluster.busy == pytest.approx(5 / 6)


@pytest.mark.parametrize("recipe", cluster_scale.MEASURED)
def test_every_recipe_keeps_its_bounds_and_its_account(recipe, monkeypatch):
    monkeypatch.setattr(cluster_scale, "GROUPS", 16)
    settings = ClusterSettings(workers=8, failures=0.02)
    for lag in (0, 2):
        config = cluster_scale.settings_of(recipe, lag)
        one, two = (
            run(build_scheduler(config, map(str, range(3000))), settings, Player(), 6) for _ in range(2)
        )  # fmt: skip
        assert (one.ages, one.rollouts, one.seconds) == (two.ages, two.rollouts, two.seconds)
        assert max(one.ages) <= lag
        assert one.rollouts[Fate.EXPIRED] == 0
        assert 0 < one.busy <= 1
        assert one.rollouts[Fate.TRAINED] == sum(one.ages.values()) * config.train.group_size


def test_the_page_says_what_was_measured():
    if not cluster_scale.RESULTS.exists():
        pytest.skip("not measured yet")
    page = (ROOT / "docs" / cluster_scale.PAGE).read_text()
    assert arms.block(page, cluster_scale.BLOCK) == cluster_scale.table(json.loads(cluster_scale.RESULTS.read_text()))
