import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling_cases import history_of

from rekindle.scheduling.temperatures import fixed, residual_heating
from rekindle.types import Outcome

RIGHT, MIXED, WRONG = Outcome.ALL_CORRECT, Outcome.MIXED, Outcome.ALL_WRONG


def visits(rule, outcomes):
    history = history_of(2)
    temperatures = []
    for outcome in outcomes:
        temperatures.append(rule(history, 1))
        rule.learn(history, 1, outcome)
    assert int(history.heating_steps[0]) == 0
    return temperatures


@pytest.mark.parametrize(
    ("on_signal", "steps"),
    [
        ("reset", [0, 1, 2, 3, 4, 5, 0, 1, 0, 0, 0, 1]),
        ("step_down", [0, 1, 2, 3, 4, 5, 4, 5, 0, 0, 0, 1]),
        ("hold", [0, 1, 2, 3, 4, 5, 5, 6, 0, 0, 0, 1]),
    ],
)
def test_heating_by_hand(on_signal, steps):
    """delta 1/16 from 1 to at most 1.25, reached after 4 steps."""
    outcomes = [RIGHT] * 5 + [MIXED, RIGHT, WRONG, WRONG, MIXED, RIGHT, RIGHT]
    found = visits(residual_heating(1.0, 0.0625, 1.25, on_signal), outcomes)
    assert found == [min(1 + step / 16, 1.25) for step in steps]


@pytest.mark.parametrize(
    ("on_signal", "signals"),
    [("reset", [0, 0, 1] * 4), ("step_down", [0, 0] + [1, 0] * 5), ("hold", [0, 0] + [1] * 10)],
)
def test_how_often_a_prompt_has_signal_that_needs_two_heating_steps(on_signal, signals):
    """All correct below 1.125, mixed above: signal at every third visit with reset, at every other with step_down."""
    rule, history, found = residual_heating(1.0, 0.0625, 1.25, on_signal), history_of(1), []
    for _ in signals:
        has_signal = rule(history, 0) >= 1.125
        rule.learn(history, 0, MIXED if has_signal else RIGHT)
        found.append(int(has_signal))
    assert found == signals


@given(
    base=st.floats(0.1, 3),
    outcomes=st.lists(st.sampled_from([RIGHT, MIXED, WRONG]), max_size=20),
    maximum=st.floats(0.1, 3),
)
def test_without_delta_temperatures_are_exactly_fixed(base, outcomes, maximum):
    assert visits(residual_heating(base, 0.0, maximum), outcomes) == visits(fixed(base), outcomes)


def test_a_column_equals_the_calls():
    history = history_of(50)
    history.heating_steps[:] = np.arange(50)
    for rule in (residual_heating(0.7, 0.03, 1.3), fixed(0.7)):
        assert rule.column(history, np.arange(50)).tolist() == [rule(history, row) for row in range(50)]


def test_steps_stop_counting_instead_of_wrapping_to_zero():
    history = history_of(1)
    history.heating_steps[0] = 65_535
    residual_heating().learn(history, 0, RIGHT)
    assert int(history.heating_steps[0]) == 65_535


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": 1.3, "maximum": 1.2}, r"maximum = 1\.2 is below base = 1\.3; raise"),
        ({"delta": -0.1}, r"delta = -0\.1 is outside .* switch heating off"),
        ({"base": 0.0}, "temperature 0.0 must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        residual_heating(**settings)


def test_a_fixed_temperature_is_positive():
    with pytest.raises(ValueError, match="temperature nan must be above 0"):
        fixed(float("nan"))
