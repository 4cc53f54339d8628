"""Which answers are asked for, and how many hops are wished for."""

from collections import Counter

import pytest

from rekindle.environments.self_play.seeds import Seeds
from rekindle.types import Task

TASKS = [Task(f"seed/{index}", str(index), str(index)) for index in range(10)]


def test_a_draw_follows_from_seed_step_and_round_alone():
    first, second = Seeds(TASKS, hops=4, seed=1), Seeds(TASKS, hops=4, seed=1)
    first.draw(1, 0, 5)
    assert first.draw(7, 1, 8) == second.draw(7, 1, 8)
    assert first.draw(7, 1, 8) != first.draw(7, 0, 8)
    assert first.draw(7, 1, 8) != first.draw(8, 1, 8)
    assert first.draw(7, 1, 8) != Seeds(TASKS, hops=4, seed=2).draw(7, 1, 8)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 25])
def test_no_seed_comes_again_before_all_have_come(count):
    rows = Counter(row for row, _ in Seeds(TASKS, hops=2).draw(3, 0, count))
    assert rows.total() == count
    assert max(rows.values()) - min(rows[row] for row in range(10)) <= 1


def test_hops_are_wished_for_evenly():
    hops = Counter(hops for _, hops in Seeds(TASKS, hops=4).draw(1, 0, 4000))
    assert set(hops) == {1, 2, 3, 4}
    assert all(abs(count - 1000) < 150 for count in hops.values())


def test_the_curriculum_begins_with_one_hop_and_ends_with_all():
    seeds = Seeds(TASKS, hops=4, warmup_steps=8)
    assert [seeds.most_hops(step) for step in range(1, 11)] == [1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    assert {hops for _, hops in seeds.draw(2, 0, 200)} == {1}
    assert {hops for _, hops in seeds.draw(9, 0, 200)} == {1, 2, 3, 4}
    assert Seeds(TASKS, hops=4).most_hops(1) == 4
