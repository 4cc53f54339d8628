"""Refill: further draws inside a step while too few groups pass the gate."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Refill"]


@dataclass(frozen=True, slots=True)
class Refill:
    """DAPO's dynamic sampling (arXiv 2503.14476), with the bound that DAPO lacks.

    Attributes:
        max_rounds: Largest number of further draws of ``groups_per_step`` prompts in a step. A draw without prompts
            ends the step, and uses up the rounds unless the pool grows.
        on_exhausted: "train" on the groups found, or "stop" the run; accepted groups are never thrown away.
    """

    max_rounds: int
    on_exhausted: Literal["train", "stop"] = "train"

    def __post_init__(self) -> None:
        if self.max_rounds < 1:
            raise ValueError(f"refill of {self.max_rounds} rounds; give at least 1, or no Refill")

    def why_stopped(self, *, step: int, rounds: int, found: int, target: int) -> str | None:
        """Message of a run that stops after a step whose rounds are used up; None where the run goes on.

        Args:
            step: Number of the step.
            rounds: Further draws of the step.
            found: Groups that passed the gate.
            target: Groups wanted.
        """
        if self.on_exhausted == "train":
            return None
        return (
            f"step {step} found {found} of {target} groups with signal in {rounds + 1} rounds; raise "
            'max_rounds of the refill, or set its on_exhausted = "train"'
        )
