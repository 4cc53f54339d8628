"""Further draws inside a step while too few of its groups may enter the update."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Refill"]


@dataclass(frozen=True, slots=True)
class Refill:
    """DAPO's dynamic sampling (arXiv 2503.14476), with the bound that DAPO lacks.

    Attributes:
        max_rounds: Most further draws of ``groups_per_step`` prompts in a step. A draw that finds no prompts ends the
            step; it exhausts a pool only if that does not grow.
        on_exhausted: "train" on the groups there are, or "stop" the run; accepted groups are never thrown away.
    """

    max_rounds: int
    on_exhausted: Literal["train", "stop"] = "train"

    def __post_init__(self) -> None:
        if self.max_rounds < 1:
            raise ValueError(f"refill of {self.max_rounds} rounds; give at least 1, or no Refill at all")

    def why_stopped(self, *, step: int, rounds: int, found: int, target: int) -> str | None:
        """Why the run stops after a step whose rounds are used up, as a sentence; None where it goes on.

        Args:
            step: Number of the step.
            rounds: Further draws that were made in it.
            found: Groups that may enter the update.
            target: Groups wanted.
        """
        if self.on_exhausted == "train":
            return None
        return (
            f"step {step} found {found} of {target} groups with signal in {rounds + 1} rounds; raise "
            'max_rounds of the refill, or set its on_exhausted = "train"'
        )
