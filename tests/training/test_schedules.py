"""Learning rate factors worked by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.training.schedules import learning_rate_factor

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
        learning_rate_factor(update, warmup_steps=warmup, schedule=schedule, total_updates=total)
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
        learning_rate_factor(u, warmup_steps=warmup, schedule=schedule, total_updates=total) for u in range(total)
    ]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)


def test_a_decay_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r'"cosine" schedule needs the number of updates; set train\.steps'):
        learning_rate_factor(0, warmup_steps=0, schedule="cosine")
