"""How hot a prompt is sampled: functions of its row in the history."""

from collections.abc import Callable

from rekindle.scheduling.history import History

__all__ = ["Temperature", "fixed"]

Temperature = Callable[[History, int], float]


def fixed(temperature: float) -> Temperature:
    """Every prompt is sampled at the same temperature."""
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} must be above 0; rollouts of a group must be able to differ")
    return lambda history, row: temperature
