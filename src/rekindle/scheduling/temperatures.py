"""Sampling temperatures: rules from a prompt's history to the temperature of its next visit."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.history import MAX_STREAK, History
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import Outcome, UserError

__all__ = ["OnSignal", "Temperature", "fixed", "residual_heating"]

OnSignal = Literal["reset", "step_down", "hold"]
"""What a group with signal does to its prompt's streak: set it to 0, lower it by 1, or leave it."""


class Temperature(Protocol):
    """Temperature rule: the temperature of a prompt's next visit, and its update after a visit."""

    def __call__(self, history: History, row: int) -> float:
        """Temperature of the next visit of one prompt."""
        ...

    def learn(self, history: History, row: int, outcome: Outcome) -> None:
        """Update the history's column of the rule after a visit with this outcome was recorded."""
        ...

    def column(self, history: History, rows: Rows) -> npt.NDArray[np.float64]:
        """[rows] temperature of the next visit of these prompts: ``self(history, row)`` for each."""
        ...


def fixed(temperature: float) -> Temperature:
    """Rule: every prompt is sampled at the same temperature.

    Raises:
        ValueError: The temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature {temperature} must be above 0, because rollouts of a group must differ; give e.g. 1.0"
        )
    return _FixedTemperature(temperature)


def residual_heating(
    base: float = 1.0, delta: float = 0.05, maximum: float = 1.2, on_signal: OnSignal = "step_down"
) -> Temperature:
    """ERPO's history tracker (arXiv 2511.04800): raises the temperature of prompts that are always solved.

        T = min(base + delta * c, maximum)

    c is the prompt's ``heating_steps`` in the history. An all-correct visit raises c by 1, an all-wrong one sets it to
    0. A visit with signal sets c to 0 ("reset"), lowers it by 1 ("step_down") or keeps it ("hold"). It is not known to
    us which of them is the paper's, nor what its constants are. Under "reset" a prompt returns to the base temperature
    and loses its signal before c rises again, so that every other visit is wasted. c keeps rising after ``maximum`` is
    reached.

    Args:
        base: Temperature at c = 0.
        delta: Rise per step; at 0 every temperature is exactly ``base``, and c is only counted.
        maximum: Highest temperature.
        on_signal: Change of c after a visit with signal.

    Raises:
        UserError: delta is negative, or maximum is below base.
    """
    fixed(base)
    check_bounds("give 0 to switch heating off", ge=0, delta=delta)
    if delta and maximum < base:
        raise UserError(f"maximum = {maximum} is below base = {base}; raise maximum, or give delta = 0 for no heating")
    return _ResidualHeating(base, delta, max(base, maximum), on_signal)


@dataclass(frozen=True, slots=True)
class _FixedTemperature:
    temperature: float

    def __call__(self, history: History, row: int) -> float:
        return self.temperature

    def learn(self, history: History, row: int, outcome: Outcome) -> None:
        """Do nothing: there is no column."""

    def column(self, history: History, rows: Rows) -> npt.NDArray[np.float64]:
        return np.full(len(rows), self.temperature)


@dataclass(frozen=True, slots=True)
class _ResidualHeating:
    base: float
    delta: float
    maximum: float
    on_signal: OnSignal

    def __call__(self, history: History, row: int) -> float:
        return min(self.base + self.delta * history.heating_steps.item(row), self.maximum)

    def learn(self, history: History, row: int, outcome: Outcome) -> None:
        steps = history.heating_steps.item(row)
        if outcome is Outcome.ALL_CORRECT:
            steps = min(steps + 1, MAX_STREAK)
        elif outcome is Outcome.ALL_WRONG or self.on_signal == "reset":
            steps = 0
        elif self.on_signal == "step_down":
            steps = max(0, steps - 1)
        history.heating_steps[row] = steps

    def column(self, history: History, rows: Rows) -> npt.NDArray[np.float64]:
        return np.minimum(self.base + self.delta * history.heating_steps[rows].astype(np.float64), self.maximum)
