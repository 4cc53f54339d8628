"""Sampling temperatures: functions of a prompt's row in the history."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.arguments import check_bounds
from rekindle.scheduling.history import MAX_STREAK, History
from rekindle.types import Outcome, UserError

__all__ = ["OnSignal", "Temperature", "fixed", "residual_heating"]

OnSignal = Literal["reset", "step_down", "hold"]


class Temperature(Protocol):
    """The temperature of a prompt's next visit, and how a visit changes that of the one after."""

    def __call__(self, history: History, row: int) -> float:
        """Temperature of the next visit of one prompt."""
        ...

    def learn(self, history: History, row: int, outcome: Outcome) -> None:
        """A visit was entered in the history."""
        ...

    def column(self, history: History) -> npt.NDArray[np.float64]:
        """[prompts] temperature of the next visit of every prompt: ``column(history)[row] == self(history, row)``."""
        ...


def fixed(temperature: float) -> Temperature:
    """Every prompt is sampled at the same temperature."""
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} must be above 0; rollouts of a group must be able to differ")
    return _Fixed(temperature)


def residual_heating(
    base: float = 1.0, delta: float = 0.05, maximum: float = 1.2, on_signal: OnSignal = "step_down"
) -> Temperature:
    """ERPO's history tracker (arXiv 2511.04800): prompts that are always solved are sampled hotter.

        T = min(base + delta * c, maximum)

    c is the prompt's ``heat`` in the history. A visit that is all correct raises it by 1, one that is all wrong sets it
    to 0. After a visit with signal it is 0 ("reset", the paper's rule, under which the prompt needs to cool down and
    lose its signal before it is heated again, so that every other visit is wasted), one less ("step_down"), or kept
    ("hold"). The heat counts on beyond the visit at which ``maximum`` is reached.

    Args:
        base: Temperature of a prompt that is not heated.
        delta: Rise per visit; at 0 every temperature is exactly ``base``.
        maximum: Highest temperature.
        on_signal: What a visit with signal does to the heat.
    """
    fixed(base)
    check_bounds("0 is off, less would cool prompts that are solved", ge=0, delta=delta)
    if delta and maximum < base:
        raise UserError(f"maximum = {maximum} is below base = {base}; raise maximum, or give delta = 0 for no heating")
    return _ResidualHeating(base, delta, max(base, maximum), on_signal)


@dataclass(frozen=True, slots=True)
class _Fixed:
    temperature: float

    def __call__(self, history: History, row: int) -> float:
        return self.temperature

    def learn(self, history: History, row: int, outcome: Outcome) -> None:
        """Nothing to learn."""

    def column(self, history: History) -> npt.NDArray[np.float64]:
        return np.full(len(history), self.temperature)


@dataclass(frozen=True, slots=True)
class _ResidualHeating:
    base: float
    delta: float
    maximum: float
    on_signal: OnSignal

    def __call__(self, history: History, row: int) -> float:
        return min(self.base + self.delta * history.heat.item(row), self.maximum)

    def learn(self, history: History, row: int, outcome: Outcome) -> None:
        heat = history.heat.item(row)
        if outcome is Outcome.ALL_CORRECT:
            heat = min(heat + 1, MAX_STREAK)
        elif outcome is Outcome.ALL_WRONG or self.on_signal == "reset":
            heat = 0
        elif self.on_signal == "step_down":
            heat = max(0, heat - 1)
        history.heat[row] = heat

    def column(self, history: History) -> npt.NDArray[np.float64]:
        return np.minimum(self.base + self.delta * history.heat.astype(np.float64), self.maximum)
