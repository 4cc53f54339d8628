"""Learning rate factors: the schedule over the run, and the factor by the size of a batch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from rekindle.types import TrainingSample, UserError

__all__ = ["Decay", "learning_rate_factor", "size_factor"]

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class Decay:
    """Course of a decaying learning rate: from ``height`` at ``start`` to 0 at ``end``.

    Positions are updates, or where a budget ends the run rollouts or tokens spent. A run that is resumed with another
    length goes on from the factor that it has reached, so the rate does not jump.

    Attributes:
        start: Position at which the decay begins. Of updates the end of the warm-up, of a budget 0, unless the length
            was changed.
        end: Position at the end of the run, one past the last update; None: unknown, and no schedule decays.
        height: Factor of the learning rate at ``start``.
        key: Setting that ends the run: "train.steps", "train.rollouts" or "train.tokens".
    """

    start: int
    end: int | None
    height: float = 1.0
    key: str = "train.steps"

    def state_dict(self) -> dict[str, Any]:
        """The course, as JSON values."""
        return asdict(self)

    def resumed(self, state: Mapping[str, Any] | None, position: int, schedule: Schedule) -> Self:
        """The course of a resumed run: the saved one, or a new one from here where the length of the run is another.

        Args:
            state: Saved course; None: that of a checkpoint which had none.
            position: Where the run goes on.
            schedule: Schedule after the warm-up.

        Raises:
            UserError: The learning rate has fallen to 0 already, or falls with another budget now.
        """
        saved = self if state is None else type(self)(**state)
        if schedule != "constant" and saved.key != self.key:
            raise UserError(
                f'the learning rate of optimizer.schedule = "{schedule}" falls with {saved.key} = {saved.end} in this '
                f"run, and would fall with {self.key} now; resume it with {saved.key}"
            )
        if schedule == "constant" or saved.end == self.end or position <= saved.start:
            return replace(self, start=saved.start, height=saved.height)
        height = saved.factor(position, schedule)
        if not height:
            raise UserError(
                f'the learning rate of optimizer.schedule = "{schedule}" has fallen to 0 at {saved.key} = '
                f"{saved.end}, so further steps would change nothing; begin a new run with this one's model "
                "(model.path) and another --out"
            )
        return replace(self, start=position, height=height)

    def factor(self, position: int, schedule: Schedule) -> float:
        """Factor of the learning rate at a position after the warm-up."""
        if schedule == "constant" or self.end is None:
            return 1.0
        progress = min(1.0, (position - self.start) / max(1, self.end - self.start))
        return self.height * (1.0 - progress if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress)))


def learning_rate_factor(
    update: int, *, warmup_steps: int, schedule: Schedule, decay: Decay, position: int | None = None
) -> float:
    """Factor of the learning rate at one update, in [0, 1].

    The factor rises linearly to 1 at update ``warmup_steps - 1`` and then follows the schedule: constant at 1, or
    linear or half-cosine decay to 0 at the end of the run.

    Args:
        update: 0 for the first update.
        warmup_steps: Updates of the warm-up; 0 for none.
        schedule: Schedule after the warm-up.
        decay: Course of the decay.
        position: Where the decay is; None: at the update.

    Raises:
        ValueError: A decaying schedule has no end.
    """
    if schedule != "constant" and decay.end is None:
        raise ValueError(f'the "{schedule}" schedule needs an end; set train.steps, train.rollouts or train.tokens')
    if update < warmup_steps:
        return (update + 1) / warmup_steps
    return decay.factor(update if position is None else position, schedule)


def size_factor(samples: Sequence[TrainingSample], target: int, exponent: float) -> float:
    """Factor of the learning rate by the size of a batch: (prompts with a non-zero advantage / target) ** exponent.

    A batch with only zero advantages still makes an optimizer step (momentum); its factor is 1.

    Args:
        samples: The batch.
        target: Number of prompts planned for the step.
        exponent: Exponent of the share; with 0 the factor is always 1.
    """
    with_signal = len({one.prompt_key for one in samples if one.entropy_scale or any(one.advantages)})
    return min(1.0, with_signal / target) ** exponent or 1.0
