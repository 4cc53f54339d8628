"""The moments of TRL's training loop at which a step of the run ends."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rekindle.integrations.recorded_run import RecordedRun
from rekindle.integrations.trl.updates.update_meter import UpdateMeter

__all__ = ["RunCallback"]

EVALUATED = "eval_reward"
"""Metric that every evaluation has; of several datasets by name, each has another one, and none is the run's."""


class Stepping(Protocol):
    """What the callback needs of a trainer."""

    meter: UpdateMeter
    """Numbers of the update that is being made."""

    @property
    def record(self) -> RecordedRun:
        """Account of the run."""
        ...

    def all_finite(self, parameters: Sequence[Tensor]) -> bool:
        """Whether the gradients of all processes are finite."""
        ...

    def skip(self) -> None:
        """Count an optimizer step that is not made, and keep what led to it."""
        ...

    def end_step(self) -> None:
        """End the step of the run where its rollouts are used up."""
        ...

    def note(self, metrics: Mapping[str, float]) -> None:
        """Add metrics to a step."""
        ...

    def evaluated(self) -> Mapping[str, float]:
        """Metrics of the evaluation that was made."""
        ...


class RunCallback(TrainerCallback):
    """Ends the steps of a run, adds what TRL logs to them, and lets each be said where TRL logs.

    Args:
        trainer: The trainer.
    """

    def __init__(self, trainer: Stepping) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **named: Any
    ) -> None:
        """Note the learning rate of an optimizer step, and skip it where its gradient is not finite."""
        self._trainer.meter.step(float(named["optimizer"].param_groups[0]["lr"]))
        parameters = [one for one in named["model"].parameters() if one.grad is not None]
        if not self._trainer.all_finite(parameters):
            for one in parameters:
                one.grad = None  # AdamW leaves a parameter without gradient as it is
            self._trainer.skip()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **named: Any) -> None:
        """End the step of the run where its rollouts are used up."""
        self._trainer.end_step()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **named: Any
    ) -> None:
        """Add the gradient norm to the step, and let it be said."""
        if logs and "grad_norm" in logs:
            self._trainer.note({"grad_norm": logs["grad_norm"]})
        self._trainer.record.tell()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **named: Any
    ) -> None:
        """Add held-out numbers to the step."""
        found = self._trainer.evaluated()
        if EVALUATED in (metrics or {}):
            self._trainer.note(found)
