"""Learning rate factors worked by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.training.schedules import Decay, learning_rate_factor
from rekindle.types import UserError

TABLE = [
    ("constant", 4, None, [0.25, 0.5, 0.75, 1, 1, 1, 1]),
    ("constant", 0, None, [1, 1, 1]),
    ("linear", 2, 6, [0.5, 1, 1, 0.75, 0.5, 0.25, 0, 0]),
    ("linear", 0, 2, [1, 0.5, 0]),
    ("cosine", 2, 6, [0.5, 1, 1, 0.853553, 0.5, 0.146447, 0, 0]),
    ("linear", 5, 3, [0.2, 0.4, 0.6]),  # the run ends inside the warm-up
]


@pytest.mark.parametrize(("schedule", "warmup", "total", "expected"), TABLE)
def test_hand_table(schedule, warmup, total, expected):
    factors = [
        learning_rate_factor(update, warmup_steps=warmup, schedule=schedule, decay=Decay(warmup, total))
        for update in range(len(expected))
    ]
    assert factors == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(
    schedule=st.sampled_from(["linear", "cosine"]),
    warmup=st.integers(0, 30),
    total=st.integers(1, 100),
)
def test_every_update_of_a_decaying_run_has_a_positive_factor(schedule, warmup, total):
    factors = [
        learning_rate_factor(u, warmup_steps=warmup, schedule=schedule, decay=Decay(warmup, total))
        for u in range(total)
    ]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)


def test_a_decay_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r'"cosine" schedule needs an end; set train\.steps, '):
        learning_rate_factor(0, warmup_steps=0, schedule="cosine", decay=Decay(0, None))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("end", [6, 14, 100])
@pytest.mark.parametrize("at", [3, 5])
def test_a_run_of_another_length_goes_on_without_a_jump(schedule, end, at):
    begun = Decay(2, 10)
    now = Decay(2, end).resumed(begun.state_dict(), at, schedule)
    factors = [now.factor(update, schedule) for update in range(at, end + 1)]
    assert factors[0] == begun.factor(at, schedule)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    again = Decay(2, end).resumed(now.state_dict(), at + 1, schedule)
    assert again == now, "the course is kept over further resumes"
    assert learning_rate_factor(at, warmup_steps=2, schedule=schedule, decay=now) == factors[0]


def test_a_decay_by_another_budget_is_refused():
    begun = Decay(0, 1000, key="train.rollouts").state_dict()
    with pytest.raises(UserError, match=r"falls with train\.rollouts = 1000 .* resume it with train\.rollouts"):
        Decay(0, 10).resumed(begun, 500, "linear")
    assert Decay(0, 10).resumed(begun, 500, "constant").factor(5, "constant") == 1


def test_the_length_of_a_run_may_change_during_its_warm_up_and_under_a_constant_rate():
    begun = Decay(5, 10).state_dict()
    assert Decay(5, 20).resumed(begun, 3, "cosine") == Decay(5, 20)
    assert Decay(5, 20).resumed(begun, 10, "constant").factor(15, "constant") == 1
    assert Decay(5, 10).resumed(None, 8, "cosine") == Decay(5, 10), "a checkpoint of an earlier version has no course"


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_run_whose_rate_has_fallen_to_0_is_not_made_longer(schedule):
    with pytest.raises(UserError, match=rf'optimizer.schedule = "{schedule}" has fallen to 0 at train.steps = 10'):
        Decay(5, 20).resumed(Decay(5, 10).state_dict(), 10, schedule)
