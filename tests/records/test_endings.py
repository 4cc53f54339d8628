"""When a run is over, by tables."""

import pytest

from rekindle.records.endings import Ending, Stop, stop_after


@pytest.fixture
def stop(quick_config):
    def after(step, *overrides, spent=(0, 0), stopped=None, without_signal=0, last=None, steps=9):
        train = quick_config("grpo", *overrides).train.model_copy(update={"steps": steps})
        totals = dict(zip(("rollouts", "generated_tokens"), spent, strict=True))
        return stop_after(step, train=train, spent=totals, stopped=stopped, without_signal=without_signal, last=last)

    return after


def test_the_target_comes_before_every_bound(stop):
    assert stop(8) is None
    assert stop(9, "train.rollouts=10", spent=(10, 0), stopped="empty", without_signal=99) == Stop(Ending.DONE)


@pytest.mark.parametrize(
    ("override", "below", "at", "name"),
    [
        ("train.rollouts=10", (9, 99), (10, 0), "train.rollouts = 10"),
        ("train.tokens=50", (99, 49), (0, 50), "train.tokens = 50"),
    ],
)
def test_a_budget_is_a_bound_beside_steps_and_a_target_without(stop, override, below, at, name):
    assert stop(3, override, spent=below) is None
    ended = stop(3, override, spent=at)
    assert ended.ending is Ending.BOUND
    assert f"{name} were spent at step 3 of 9" in ended.why
    assert stop(3, override, spent=at, steps=None) == Stop(Ending.DONE)


def test_a_scheduler_that_has_stopped_says_why(stop):
    assert stop(1, stopped="no prompt is left") == Stop(Ending.BOUND, "no prompt is left")


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        (None, "too hard or too easy"),
        ({"groups/failed": 1, "groups/asked": 4}, "too hard or too easy"),
        ({"groups/failed": 2, "groups/asked": 4}, "2 of the last 4 groups failed"),
        ({"groups/failed": 0, "groups/asked": 4, "groups/all_wrong": 4}, "does not read the format of the answers"),
        ({"groups/failed": 0, "groups/asked": 4, "groups/all_wrong": 3}, "too hard or too easy"),
        ({"groups/failed": 0, "groups/asked": 0, "self_play/valid": 0}, "no proposed question was valid"),
        (
            {
                "groups/failed": 0,
                "groups/asked": 0,
                "self_play/valid": 0,
                "self_play/rejected/too_short": 1,
                "self_play/rejected/leaks_answer": 3,
            },
            "3 leaks answer, 1 too short",
        ),
    ],
)
def test_steps_without_signal_end_a_run_with_the_likely_cause(stop, last, cause):
    bound = "train.max_steps_without_signal=3"
    assert stop(5, bound, without_signal=2, last=last) is None
    ended = stop(5, bound, without_signal=3, last=last)
    assert ended.ending is Ending.BOUND
    assert ended.why.startswith("3 steps in a row had nothing to train on")
    assert cause in ended.why
