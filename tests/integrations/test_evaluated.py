"""Names of the metrics of another trainer's evaluation."""

import pytest

from rekindle.integrations.evaluated import evaluated


def test_accuracy_is_the_share_of_successes_and_the_mean_is_the_reward():
    assert evaluated([1.0, 0.0, 0.5, 2.5], 0.5) == {"eval/accuracy": 0.75, "eval/reward": 1.0}
    assert evaluated([0.0, 1.0], 0.5, greedy=True) == {"eval/greedy": 0.5, "eval/greedy_reward": 0.5}
    assert evaluated(iter([0.3, 0.1]), 0.2) == pytest.approx({"eval/accuracy": 0.5, "eval/reward": 0.2})
    assert evaluated([], 0.5) == {}
